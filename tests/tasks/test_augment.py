"""Views of a volume: a plain crop when nothing is drawn, the same draw for the same seed, image and label as one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.tasks.augment import View, draw_view, take_view
from saccade.tasks.config import Augmentation

STILL = Augmentation(probability=0.0)
STRONG = Augmentation(
    probability=1.0, rotation_degrees=30, scale=(0.7, 1.3), shift_fraction=0.1, flip_axes=(0, 1, 2), noise=0.2,
    brightness=0.3, contrast=(0.8, 1.2),
)  # fmt: skip
SHAPE, PATCH = (11, 13, 17), (5, 7, 3)
MM = (1.0, 1.0, 3.0)


def draw(settings, seed=0, shape=SHAPE, patch=PATCH, spacing=MM, anchor=None):
    generator = torch.Generator().manual_seed(seed)
    return draw_view(settings, shape, patch, spacing_mm=spacing, anchor=anchor, generator=generator)


def numbered(shape=SHAPE):
    """Every voxel its own number, as an image and as a label."""
    labels = torch.arange(math.prod(shape)).reshape(shape)
    return labels[None].float(), labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_nothing_drawn_is_a_plain_crop(seed) -> None:
    image, labels = numbered()
    view = draw(STILL, seed)
    assert (view.matrix, view.flips, view.noise, view.gain, view.offset) == (None, (), 0.0, 1.0, 0.0)
    patch, classes = take_view(view, image, labels, PATCH)
    box = [slice(round(c - (w - 1) / 2), round(c + (w + 1) / 2)) for c, w in zip(view.centre, PATCH, strict=True)]
    assert torch.equal(classes, labels[tuple(box)])
    assert torch.equal(patch[0], classes.float())


def test_the_same_seed_draws_the_same_and_another_differently() -> None:
    image, labels = (
        torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3)),
        torch.ones(SHAPE, dtype=torch.uint8),
    )
    one, again, other = (take_view(draw(STRONG, seed), image, labels, PATCH) for seed in (5, 5, 6))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


def test_the_draw_does_not_touch_the_global_generator() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    image, labels = numbered()
    take_view(draw(STRONG), image, labels, PATCH)
    assert torch.equal(before, torch.random.get_rng_state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 19)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.data())
def test_a_patch_holds_its_anchor_and_stays_inside_where_it_fits(seed, shape, patch, data) -> None:
    anchor = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    view = draw(STILL, seed, shape, patch, anchor=anchor)
    for centre, width, size, voxel in zip(view.centre, patch, shape, anchor, strict=True):
        first, last = centre - (width - 1) / 2, centre + (width - 1) / 2
        assert first == round(first)
        assert first <= voxel <= last
        if size >= width:
            assert first >= 0
            assert last <= size - 1
        else:
            assert first <= 0
            assert last >= size - 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_image_and_label_turn_together(seed) -> None:
    shape = (23, 29, 13)
    voxel = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij"), -1)
    ball = (((voxel - torch.tensor([9.0, 17.0, 6.0])) * torch.tensor(MM)).norm(dim=-1) <= 6).float()
    moving = Augmentation(probability=1.0, rotation_degrees=30, scale=(0.7, 1.3), flip_axes=(0, 1, 2))
    patch = (24, 24, 12)
    image, labels = take_view(draw(moving, seed, shape, patch), ball[None], ball.to(torch.uint8), patch)
    seen = torch.nonzero(labels).float().mean(0)
    bright = torch.nonzero(image[0] > 0.5).float().mean(0)
    assert labels.sum() > 20
    assert (seen - bright).norm() < 0.4
    assert ((image[0] > 0.5) != (labels > 0)).float().sum() < 0.3 * labels.sum()


def in_mm(view: View, spacing=MM) -> torch.Tensor:
    size = torch.diag(torch.tensor(spacing))
    assert view.matrix is not None
    return size @ view.matrix @ torch.linalg.inv(size)


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_is_one_in_millimetres(seed) -> None:
    turn = in_mm(draw(Augmentation(probability=1.0, rotation_degrees=40, scale=(1, 1)), seed))
    torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.det(turn).item() == pytest.approx(1, abs=1e-5)
    assert (turn - torch.eye(3)).abs().max() > 0.05


def test_magnification_by_hand() -> None:
    view = draw(Augmentation(probability=1.0, rotation_degrees=0, scale=(2.0, 2.0)))
    # magnified twice: a step of one patch voxel is half a volume voxel
    torch.testing.assert_close(view.matrix, torch.eye(3) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_slices_turn_in_their_own_plane(seed) -> None:
    view = draw(
        Augmentation(probability=1.0, rotation_degrees=40, scale=(0.7, 1.3), shift_fraction=0.2), seed, patch=(8, 6, 1)
    )
    assert view.matrix is not None
    torch.testing.assert_close(view.matrix[2], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(view.matrix[:, 2], torch.tensor([0.0, 0.0, 1.0]))
    assert view.matrix[0, 1].abs() > 1e-3
    assert view.centre[2] == round(view.centre[2])  # still a slice that exists


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_two_ways_to_sample_agree_also_over_the_border(seed, outside) -> None:
    image = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(seed))
    labels = torch.randint(0, 4, SHAPE, generator=torch.Generator().manual_seed(seed))
    centre = draw(STILL, seed).centre
    if outside:
        centre = tuple(c - 3 if axis == 0 else c + 2 for axis, c in enumerate(centre))
    copied = take_view(View(centre, None), image, labels, PATCH)
    sampled = take_view(View(centre, torch.eye(3)), image, labels, PATCH)
    torch.testing.assert_close(sampled[0], copied[0], atol=1e-4, rtol=0)
    assert torch.equal(sampled[1], copied[1])


def test_outside_the_volume_the_border_repeats_and_the_label_is_background() -> None:
    image, labels = torch.tensor([[[[3.0, 5.0]]]]), torch.tensor([[[1, 2]]])
    patch, classes = take_view(View((0.0, 0.0, 0.0), None), image, labels, (3, 1, 3))
    assert patch[0, :, 0].tolist() == [[3.0, 3.0, 5.0]] * 3
    assert classes[:, 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]


def test_flips_mirror_both_and_happen_half_of_the_time() -> None:
    image, labels = numbered()
    plain, mirrored = View((5.0, 6.0, 8.0), None), View((5.0, 6.0, 8.0), None, flips=(0, 2))
    patch, classes = take_view(plain, image, labels, PATCH)
    flipped, turned = take_view(mirrored, image, labels, PATCH)
    assert torch.equal(flipped, patch.flip([1, 3]))
    assert torch.equal(turned, classes.flip([0, 2]))
    drawn = [draw(Augmentation(flip_axes=(1,)), seed).flips for seed in range(200)]
    assert set(drawn) == {(), (1,)}
    assert 70 < drawn.count((1,)) < 130


def test_values_by_hand() -> None:
    image, labels = torch.full((1, 3, 3, 3), 2.0), torch.zeros(3, 3, 3, dtype=torch.uint8)
    patch, _ = take_view(View((1.0, 1.0, 1.0), None, gain=1.5, offset=-0.25), image, labels, (3, 3, 3))
    assert torch.equal(patch, torch.full_like(image, 2.75))  # 1.5 x 2 - 0.25
    noisy = [
        take_view(View((1.0, 1.0, 1.0), None, noise=0.1, noise_seed=seed), image, labels, (3, 3, 3))[0]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    assert 0.05 < (noisy[0] - image).std() < 0.15


def test_how_strong_each_change_may_be() -> None:
    drawn = [draw(STRONG, seed) for seed in range(300)]
    gains, noises, offsets = [v.gain for v in drawn], [v.noise for v in drawn], [v.offset for v in drawn]
    assert 0.8 <= min(gains) < 0.85
    assert 1.15 < max(gains) <= 1.2
    assert 0 <= min(noises) < 0.02
    assert 0.18 < max(noises) <= 0.2
    assert -0.3 <= min(offsets) < -0.27
    assert 0.27 < max(offsets) <= 0.3
    half = [draw(Augmentation(probability=0.3), seed).matrix is not None for seed in range(300)]
    assert 60 < sum(half) < 120
