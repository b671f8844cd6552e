"""Regions of maps: each brought to the same small grid by sampling, with gradients to the maps and to the boxes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.layers.boxes import centre_and_size, from_centre_and_size


def region_align(
    maps: Float[Tensor, "b c *space"],
    boxes: Sequence[Float[Tensor, "_ box"]],
    size: int | Sequence[int],
    *,
    step: float | int = 1,
    samples: int = 2,
) -> Float[Tensor, "r c *size"]:
    """What is in each box, as means over the cells of a grid laid over it.

    RoIAlign, He et al. 2017, arXiv:1703.06870, section 3: in each cell ``samples`` values along each axis, evenly
    placed, interpolated linearly between the middles of the map's positions, and averaged. Nothing is rounded. Beyond
    the map its border goes on.

    Args:
        maps: Of a batch.
        boxes: For each image its boxes, corners in pixels of the image, the last axis first; there may be none.
        size: Cells along every axis, or for each in the order of the map's axes.
        step: Pixels of the image from one position of the map to the next; the first pixel reaches from 0 to 1.
        samples: Along each axis of a cell.

    Returns:
        The regions of the first image, then those of the second, and so on.

    Raises:
        InputError: If there are not as many lists of boxes as maps, boxes are of other dimensions, or size or samples
            are below 1.

    >>> maps = torch.arange(16.0).view(1, 1, 4, 4)
    >>> region_align(maps, [torch.tensor([[1.0, 0, 3, 4]])], 2)[0, 0]
    tensor([[ 3.,  4.],
            [11., 12.]])
    """
    space = maps.shape[2:]
    dims = len(space)
    cells = (size,) * dims if isinstance(size, int) else tuple(size)
    if dims not in (2, 3) or len(cells) != dims or min(cells) < 1 or samples < 1:
        raise InputError(
            f"region_align: maps of 2 or 3 axes need as many cells, and samples, from 1 on, got maps {tuple(space)}, "
            f"cells {cells} and {samples} sample(s)."
        )
    if len(boxes) != len(maps) or any(each.shape[-1] != 2 * dims for each in boxes):
        raise InputError(
            f"region_align: each of {len(maps)} map(s) must have boxes of {2 * dims} numbers, got "
            f"{[tuple(each.shape) for each in boxes]}."
        )
    extent = maps.new_tensor([n * step for n in reversed(space)])
    places = [_places(n, samples, maps) for n in cells]
    split = [part for n in cells for part in (n, samples)]
    found = []
    # one map at a time: a copy of its map for each region would be many times the memory
    for x, own in zip(maps.split(1), boxes, strict=True):
        if not len(own):
            found.append(maps.new_zeros(0, maps.shape[1], *cells))
            continue
        low, high = (2 * corner / extent - 1 for corner in own.to(maps).chunk(2, -1))
        axes = [
            _along(low[:, a, None] + (high - low)[:, a, None] * places[dims - 1 - a], dims - 1 - a, dims)
            for a in range(dims)
        ]
        grid = torch.stack(torch.broadcast_tensors(*axes), -1)  # (n, *samples, d)
        values = _sample(x, grid.flatten(0, 1)[None])[0]  # regions follow one another along the first axis
        values = values.unflatten(1, (len(own), -1)).transpose(0, 1).reshape(len(own), maps.shape[1], *split)
        found.append(values.mean(list(range(3, 3 + 2 * dims, 2))))
    return torch.cat(found)


def squares_around(boxes: Float[Tensor, "*n box"], factor: float) -> Float[Tensor, "*n box"]:
    """Squares (or cubes) with the same middles whose side is the longest one times a factor.

    Cut out so, what is round stays round, and what lies around comes into view.
    """
    centre, size = centre_and_size(boxes)
    return from_centre_and_size(centre, (factor * size.amax(-1, keepdim=True)).expand_as(size))


def _places(cells: int, samples: int, like: Tensor) -> Tensor:
    """Where the samples of all cells lie along an axis, as parts of its length, (cells * samples,)."""
    count = cells * samples
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count


def _along(values: Tensor, axis: int, dims: int) -> Tensor:
    """(n, m) values as (n, 1, ..., m, ..., 1), m along one of the axes."""
    return values.view(len(values), *(values.shape[1] if each == axis else 1 for each in range(dims)))


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    dtype = x.dtype
    if dtype in (torch.bfloat16, torch.float16):  # places between pixels need more digits than they have
        x, grid = x.float(), grid.float()
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False).to(dtype)
