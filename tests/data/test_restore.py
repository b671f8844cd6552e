"""A volume that arrives in blocks is interpolated as torch interpolates the whole."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from saccade.data import restore
from saccade.data.restore import BlockRestorer

SIZES = st.tuples(*[st.integers(1, 9)] * 3)


def cut(size: int, widths: list[int]) -> list[slice]:
    """A range cut into parts of these widths, over and over."""
    edges = [0]
    for width in itertools.cycle(widths):
        if edges[-1] >= size:
            break
        edges.append(min(size, edges[-1] + width))
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def in_blocks(volume: torch.Tensor, wanted, widths, order=(0, 1, 2)) -> torch.Tensor:
    restorer = BlockRestorer(volume.shape[1:], wanted)
    out, seen = torch.full((volume.shape[0], *wanted), torch.nan), torch.zeros(wanted)
    axes = [cut(size, widths) for size in volume.shape[1:]]
    for parts in itertools.product(*(axes[axis] for axis in order)):
        place = tuple(parts[order.index(axis)] for axis in range(3))
        for where, values in restorer.push(place, volume[(slice(None), *place)]):
            out[(slice(None), *where)] = values
            seen[where] += 1
    assert seen.min() == seen.max() == 1
    return out


@settings(max_examples=80, deadline=None)
@given(
    SIZES,
    SIZES,
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.permutations([0, 1, 2]),
    st.sampled_from([1, 2**20]),
    st.integers(0, 99),
)
def test_blocks_give_what_torch_gives_for_the_whole(size, wanted, widths, order, chunk_bytes, seed) -> None:
    volume = torch.randn(3, *size, generator=torch.Generator().manual_seed(seed))
    before = volume.clone()
    whole = F.interpolate(volume[None], size=wanted, mode="trilinear", align_corners=False)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "CHUNK_BYTES", chunk_bytes)  # one plane at a time, or all of a block
        found = in_blocks(volume, wanted, widths, order)
    torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-6)
    assert torch.equal(volume, before)


def test_the_same_bits_where_the_processor_multiplies_and_adds_in_one_step() -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor rounds twice")
    volume = torch.randn(4, 13, 17, 19, generator=torch.Generator().manual_seed(3))
    for wanted in ((20, 9, 31), (5, 40, 19), (13, 17, 18), (1, 2, 3), (29, 29, 29)):
        whole = F.interpolate(volume[None], size=wanted, mode="trilinear", align_corners=False)[0]
        assert torch.equal(in_blocks(volume, wanted, [3, 5]), whole)
