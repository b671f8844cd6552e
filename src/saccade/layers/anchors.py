"""Anchors: the boxes that a detector starts from, a few at each position of its maps."""

from collections.abc import Sequence
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.errors import InputError
from saccade.layers.boxes import from_centre_and_size
from saccade.layers.dimensions import per_axis


def grid_anchors(
    grids: Sequence[int | Sequence[int]],
    *,
    zooms: Sequence[float | int] = (1.0,),
    ratios: Sequence[Sequence[float | int]] = ((1.0, 1.0),),
) -> tuple[Float[Tensor, "a box"], Float[Tensor, "a d"]]:
    """Anchors on grids over an image of side 1, and the sides of each one's cell.

    fastai, Deep Learning Part 2 (2018), lesson 9: in the middle of each of g^d cells an anchor for each zoom and ratio,
    ``zoom * ratio / g`` large, the zoom varying slowest. Cells follow one another as the positions of a map do: the
    last axis of the image (x) varies fastest.

    Args:
        grids: Cells for each map: along every axis, or for each in the order of an image's axes.
        zooms: Factors on all lengths.
        ratios: Factors on the lengths along each axis in the order of an image's axes: (rows, columns), or
            (depth, rows, columns) for volumes.

    Raises:
        InputError: If ratios or grids are of different numbers of axes.

    Returns:
        Corners, x first, (a, 2d), and the sides of the cells, x first, (a, d).
    """
    dims = len(ratios[0])
    if dims not in (2, 3) or any(len(ratio) != dims for ratio in ratios):
        raise InputError(
            f"grid_anchors: each ratio must have 2 or 3 factors, all alike, got {list(map(list, ratios))}."
        )
    boxes, cells = [], []
    sizes = torch.tensor([[zoom * factor for factor in ratio] for zoom in zooms for ratio in ratios])
    for grid in grids:
        counts = per_axis("grid_anchors", "grids", grid, dims)
        cell = 1 / torch.tensor(counts)
        centre, size = _each_with_each(_centres(counts), sizes * cell)
        boxes.append(from_centre_and_size(centre.flip(-1), size.flip(-1)))
        cells.append(cell.flip(-1).expand(len(centre), dims))
    return torch.cat(boxes), torch.cat(cells)


def prior_boxes(
    maps: Sequence[int],
    *,
    image: int,
    steps: Sequence[float | int],
    smallest: Sequence[float | int],
    largest: Sequence[float | int],
    ratios: Sequence[Sequence[float | int]],
    clip: bool = True,
) -> Float[Tensor, "a 4"]:
    """SSD's default boxes over an image of side 1.

    Liu et al. 2016, arXiv:1512.02325, section 2.2: at each position of map k squares of side s_k and
    sqrt(s_k s_k'), and for each ratio r a box s_k sqrt(r) wide and s_k / sqrt(r) high, and the same turned.

    Args:
        maps: Positions along a side, for each map.
        image: Pixels of the image's side.
        steps: Pixels from one position to the next.
        smallest: s_k in pixels.
        largest: s_k' in pixels, that of the next map.
        ratios: For each map.
        clip: Whether boxes end at the image's border, as in the paper's code; some are then no longer of their ratio.
    """
    found = []
    for count, step, low, high, wide in zip(maps, steps, smallest, largest, ratios, strict=True):
        small = low / image
        sizes = [(small, small), (sqrt(small * high / image),) * 2]
        for ratio in wide:
            sizes += [(small / sqrt(ratio), small * sqrt(ratio)), (small * sqrt(ratio), small / sqrt(ratio))]
        centre, size = _each_with_each(_centres([count] * 2, image / step), torch.tensor(sizes))
        found.append(from_centre_and_size(centre.flip(-1), size.flip(-1)))
    boxes = torch.cat(found)
    if not clip:
        return boxes
    # clipped as in the code, where a box is middle and size: neither leaves 0..1
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return from_centre_and_size(middle.clamp(0, 1), size.clamp(0, 1))


def pyramid_anchors(
    shape: Sequence[int],
    *,
    strides: Sequence[int] = (8, 16, 32, 64, 128),
    base: float | int = 4.0,
    scales: Sequence[float | int] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
    ratios: Sequence[Sequence[float | int]] | None = None,
) -> Float[Tensor, "a box"]:
    """RetinaNet's anchors in pixels: on the map of each stride a box for each scale and ratio.

    Lin et al. 2017, arXiv:1708.02002, section 4: as large as a square (or cube) of side ``base * stride * scale``.

    Args:
        shape: Positions of the image along each axis; a map has as many as strides fit in, rounded up.
        strides: Of the pyramid's maps.
        base: Side of a square anchor in strides.
        scales: Factors on the side.
        ratios: Proportions of the sides in the order of the image's axes; None for equal sides, and those in which one
            is twice as long as the others, in 2D the paper's 1:2, 1:1 and 2:1.
    """
    dims = len(shape)
    proportions = torch.tensor(ratios or proportions_of(dims), dtype=torch.float32)
    proportions = proportions / proportions.prod(1, keepdim=True) ** (1 / dims)
    found = []
    for stride in strides:
        counts = [-(-side // stride) for side in shape]
        sizes = torch.cat([base * stride * scale * proportions for scale in scales])
        middles = _centres(counts) * torch.tensor([count * stride for count in counts])
        centre, size = _each_with_each(middles, sizes)
        found.append(from_centre_and_size(centre.flip(-1), size.flip(-1)))
    return torch.cat(found)


def proportions_of(dims: int) -> list[list[float]]:
    """Equal sides in the middle, around them those with one side twice as long.

    >>> proportions_of(2)
    [[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]]
    """
    longer = [[2.0 if axis == long else 1.0 for axis in range(dims)] for long in reversed(range(dims))]
    return [longer[0], [1.0] * dims, *longer[1:]]


def _centres(counts: Sequence[int], cells: float | None = None) -> Tensor:
    """Middles of the cells of a grid over a unit square, (cells, d), the last axis varying fastest."""
    axes = [(torch.arange(count) + 0.5) / (cells or count) for count in counts]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)


def _each_with_each(centres: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Every size at every middle, all sizes of a middle together."""
    return centres.repeat_interleave(len(sizes), 0), sizes.repeat(len(centres), 1)
