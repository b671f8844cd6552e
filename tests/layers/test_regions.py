"""Regions: what a plane or a ramp gives can be worked out, gradients reach the boxes, and torch's own means agree."""

import pytest
import torch
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.layers.regions import region_align, squares_around


def ramp(shape: tuple[int, ...], slopes: torch.Tensor, step: float) -> torch.Tensor:
    """``slopes . p + 1`` at the middles of the positions, p in pixels of the image, x (the last axis) first."""
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) * step for n in shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)
    return (places @ slopes + 1)[None, None]


@pytest.mark.parametrize(("shape", "size"), [((7, 11), (2, 3)), ((5, 7, 11), (1, 2, 3))])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_ramp_gives_its_value_in_the_middle_of_each_cell(shape, size, samples) -> None:
    """Linear interpolation of a linear function is exact, and so is its mean over evenly placed points."""
    dims, step = len(shape), 4.0
    slopes = torch.tensor([0.3, -0.7, 1.1][:dims], dtype=torch.float64)
    low = torch.tensor([[3.1, 2.9, 4.2], [5.0, 6.3, 2.5]], dtype=torch.float64)[:, :dims]
    length = torch.tensor([[9.0, 10.1, 7.7], [20.2, 8.4, 12.1]], dtype=torch.float64)[:, :dims]
    boxes = torch.cat([low, low + length], 1)
    found = region_align(ramp(shape, slopes, step), [boxes], size, step=step, samples=samples)
    assert found.shape == (2, 1, *size)
    for box in range(2):
        for cell in torch.cartesian_prod(*(torch.arange(n) for n in size)).tolist():
            part = [(c + 0.5) / n for c, n in zip(cell, size, strict=True)][::-1]
            point = low[box] + torch.tensor(part, dtype=torch.float64) * length[box]
            assert found[box, 0][tuple(cell)].item() == pytest.approx((point @ slopes + 1).item(), abs=1e-12)


def test_whole_positions_are_means_of_blocks() -> None:
    maps = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    whole = torch.tensor([[0.0, 0, 32, 24]], dtype=torch.float64)
    found = region_align(maps, [whole, whole], (3, 4), step=4.0)
    torch.testing.assert_close(found, F.avg_pool2d(maps, 2))


def test_regions_come_image_by_image_and_an_image_may_have_none() -> None:
    maps = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 5, 5)
    box = torch.tensor([[1.0, 1, 3, 4]])
    found = region_align(maps, [box, box[:0], box.repeat(2, 1)], 2)
    assert found[:, 0, 0, 0].tolist() == [0, 2, 2]
    assert region_align(maps, [box[:0]] * 3, (2, 3)).shape == (0, 1, 2, 3)


def test_beyond_the_map_its_border_goes_on() -> None:
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    corner = region_align(maps, [torch.tensor([[-8.0, -8, -4, -4]])], 1)
    assert corner.item() == 1.0


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_reach_maps_and_boxes(dims) -> None:
    """Finite differences; the places are off the middles, where the slope of an interpolation jumps."""
    torch.manual_seed(dims)
    maps = torch.randn(1, 2, *(5, 4, 3)[:dims], dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.71, 0.83, 0.64, 2.37, 3.19, 3.43]], dtype=torch.float64)
    boxes = boxes[:, [0, 1, 3, 4] if dims == 2 else list(range(6))].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda m, b: region_align(m, [b], 2), (maps, boxes))


def test_a_slab_gives_what_its_image_gives() -> None:
    maps = torch.randn(1, 2, 7, 5)
    box = torch.tensor([[0.5, 1.2, 3.9, 6.1]])
    slab = torch.tensor([[0.5, 1.2, 0, 3.9, 6.1, 1]])
    found = region_align(maps[:, :, None], [slab], (1, 3, 2))
    torch.testing.assert_close(found[:, :, 0], region_align(maps, [box], (3, 2)))


def test_half_precision_keeps_its_type() -> None:
    maps = torch.randn(1, 2, 7, 5)
    box = torch.tensor([[0.5, 1.2, 3.9, 6.1]])
    half = region_align(maps.bfloat16(), [box], 2)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), region_align(maps, [box], 2), atol=0.03, rtol=0.03)


def test_squares_have_the_middle_of_the_box_and_its_longest_side() -> None:
    assert squares_around(torch.tensor([[2.0, 4, 6, 10]]), 1.5).tolist() == [[-0.5, 2.5, 8.5, 11.5]]
    assert squares_around(torch.tensor([[0.0, 0, 0, 2, 4, 8]]), 1.0).tolist() == [[-3.0, -2, 0, 5, 6, 8]]


@pytest.mark.parametrize(
    ("maps", "boxes", "size", "samples", "message"),
    [
        ((1, 1, 5, 5), [(1, 4), (1, 4)], 2, 2, r"each of 1 map\(s\) must have boxes of 4 numbers, got \[\(1, 4\), "),
        ((1, 1, 5, 5), [(1, 6)], 2, 2, r"boxes of 4 numbers, got \[\(1, 6\)\]\.$"),
        ((1, 1, 5), [(1, 2)], 2, 2, r"maps of 2 or 3 axes"),
        ((1, 1, 5, 5), [(1, 4)], (2, 2, 2), 2, r"cells \(2, 2, 2\) and 2 sample"),
        ((1, 1, 5, 5), [(1, 4)], 2, 0, r"0 sample\(s\)\.$"),
    ],
)
def test_what_does_not_fit_is_refused(maps, boxes, size, samples, message) -> None:
    with pytest.raises(InputError, match=message):
        region_align(torch.zeros(maps), [torch.zeros(shape) for shape in boxes], size, samples=samples)
