"""A volume in windows comes back as it was, whatever its size and piece by piece; the work is said."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from saccade.errors import RunError
from saccade.tasks.segmentation.tiling import Tiling
from saccade.tasks.segmentation.windows import FLOOR, apply_windows, blend_windows, gaussian_weight

SIZES = st.tuples(*[st.integers(1, 13)] * 3)
PATCHES = st.tuples(*[st.integers(1, 7)] * 3)
OVERLAPS = st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75])


@settings(max_examples=60, deadline=None)
@given(SIZES, PATCHES, OVERLAPS, st.integers(1, 4), st.integers(0, 99))
def test_the_identity_gives_the_volume_back(size, patch, overlap, batch, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn((2, *size), generator=generator)
    classes = F.one_hot(torch.randint(0, 3, size, generator=generator), 3).movedim(-1, 0).float()
    out, doubled = apply_windows(lambda x: (x, 2 * x[:, :1]), image, patch, overlap=overlap, batch=batch)
    torch.testing.assert_close(out, image, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(doubled, 2 * image[:1], rtol=1e-5, atol=1e-5)
    (labels,) = apply_windows(lambda x: [x], classes, patch, overlap=overlap, batch=batch)
    assert torch.equal(labels.argmax(0), classes.argmax(0))


def test_every_window_has_the_patch_size_and_small_volumes_continue_their_border() -> None:
    image = torch.arange(6.0).reshape(1, 3, 1, 2)
    seen = []
    apply_windows(lambda x: [seen.append(x) or x], image, (5, 3, 2))
    (window,) = seen
    # 3 voxels in a patch of 5: one repeated before, one behind; the slice fills all 3 rows
    column = torch.tensor([0.0, 0.0, 2.0, 4.0, 4.0])
    assert torch.equal(window[0, 0], torch.stack([column, column + 1], -1)[:, None].expand(5, 3, 2))


def test_the_middle_of_a_window_counts_more() -> None:
    weight = gaussian_weight((5, 3, 1))
    # sigma is 5/8 and 3/8: exp(-0.5 (1 / 0.625)^2) = 0.27804, exp(-0.5 (1 / 0.375)^2) = 0.028566
    assert weight[2, 1, 0] == 1
    assert weight[1, 1, 0].item() == pytest.approx(0.27804, abs=1e-5)
    assert weight[2, 0, 0].item() == pytest.approx(0.028566, abs=1e-5)
    assert weight[0, 0, 0] == pytest.approx(FLOOR)
    # two windows of 3 over 4 voxels that say 0 and 1: voxel 1 is the first one's middle and the second one's border
    answers = iter([0.0, 1.0])
    (out,) = apply_windows(
        lambda x: [torch.full_like(x, next(answers))], torch.zeros(1, 4, 1, 1), (3, 1, 1), overlap=0.5
    )
    edge = math.exp(-0.5 * (1 / 0.375) ** 2)
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, edge / (1 + edge), 1 / (1 + edge), 1.0]))


def test_progress_counts_windows_and_nothing_is_differentiated() -> None:
    told = []
    (out,) = apply_windows(
        lambda x: [x], torch.zeros(1, 7, 1, 1), (2, 1, 1), overlap=0.0, batch=3, progress=lambda *n: told.append(n)
    )
    assert told == [(3, 4), (4, 4)]
    assert out.is_inference()


@torch.inference_mode()
def test_pieces_come_when_they_are_finished_and_sums_may_be_halved() -> None:
    image = torch.rand(1, 5, 7, 24, generator=torch.Generator().manual_seed(0))
    calls, seen = [], torch.zeros(5, 7, 24)
    tiling = Tiling(image.shape[1:], (5, 7, 8), 0.5)
    for place, (same,) in blend_windows(lambda x: [calls.append(0) or x], image, tiling):
        seen[place] += 1
        # windows begin at 0, 4, 8, 12, 16: after n of them all before 4 n is given away
        assert place[2].stop <= (4 * len(calls) if len(calls) < 5 else 24)
        torch.testing.assert_close(same, image[(slice(None), *place)])
    assert seen.min() == seen.max() == 1
    halves = [torch.finfo(torch.float16).eps * 4, 0.0]
    for place, (same,) in blend_windows(lambda x: [x], image, tiling, sums=torch.float16):
        torch.testing.assert_close(same, image[(slice(None), *place)], rtol=halves[0], atol=1e-6)
        halves[1] = max(halves[1], float((same - image[(slice(None), *place)]).abs().max()))
    assert halves[1] > 1e-5  # they were halved indeed


def test_half_precision_sums_that_overflow_are_no_labels() -> None:
    tiling = Tiling((4, 4, 4), (4, 4, 4), 0.5)
    with pytest.raises(RunError) as error:
        list(blend_windows(lambda x: [x + 1e6], torch.zeros(1, 4, 4, 4), tiling, sums=torch.float16))
    assert str(error.value) == "predict: a score is too large for half-precision sums. Allow more memory."
