"""Boxes in 2D and 3D: how far they overlap, which object an anchor stands for, offsets, and duplicates removed.

A box is its two corners, (x1, y1, x2, y2) or (x1, y1, z1, x2, y2, z2), with x1 <= x2 and so on; lengths are x2 - x1.
The unit is the caller's: pixels, millimetres or parts of the image.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from saccade.errors import InputError

CHUNK = 128  # boxes compared with all others at once


def centre_and_size(boxes: Float[Tensor, "*n box"]) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
    """Middle and lengths of boxes."""
    low, high = boxes.chunk(2, -1)
    return (low + high) / 2, high - low


def from_centre_and_size(centre: Float[Tensor, "*n d"], size: Float[Tensor, "*n d"]) -> Float[Tensor, "*n box"]:
    """Boxes of these middles and lengths."""
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def content(boxes: Float[Tensor, "*n box"]) -> Float[Tensor, "*n"]:
    """Area in 2D, volume in 3D; 0 where corners are reversed."""
    low, high = boxes.chunk(2, -1)
    return (high - low).clamp_min(0).prod(-1)


def jaccard(first: Float[Tensor, "n box"], second: Float[Tensor, "m other"]) -> Float[Tensor, "n m"]:
    """Intersection over union of each box with each; 0 where both are empty.

    Args:
        first: Boxes.
        second: Boxes.

    Raises:
        InputError: If they are not boxes of the same number of dimensions.

    >>> jaccard(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 1]]))
    tensor([[0.3333, 0.5000]])
    """
    if first.shape[-1] != second.shape[-1] or first.shape[-1] not in (4, 6):
        raise InputError(
            f"jaccard: boxes must have 4 numbers in 2D or 6 in 3D, got {first.shape[-1]} and {second.shape[-1]}."
        )
    shared = _shared(first[:, None], second)
    union = content(first)[:, None] + content(second) - shared
    return torch.where(union > 0, shared / union.where(union > 0, 1), 0)


def part_inside(boxes: Float[Tensor, "n box"], others: Float[Tensor, "m box"]) -> Float[Tensor, "n m"]:
    """Which part of the content of each box lies in each of the others; 0 for an empty box.

    >>> part_inside(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 9, 9]]))
    tensor([[0.5000]])
    """
    own = content(boxes)[:, None]
    return torch.where(own > 0, _shared(boxes[:, None], others) / own.where(own > 0, 1), 0)


@dataclass(frozen=True)
class Matches:
    """What each of a anchors stands for.

    Attributes:
        index: (a,) The object; meaningless where nothing is positive.
        overlap: (a,) Its Jaccard overlap with the anchor.
        positive: (a,) Whether the anchor stands for it.
        negative: (a,) Whether it is background; what is neither counts nowhere.
    """

    index: Integer[Tensor, "a"]
    overlap: Float[Tensor, "a"]
    positive: Bool[Tensor, "a"]
    negative: Bool[Tensor, "a"]


def match(
    overlaps: Float[Tensor, "n a"], threshold: float = 0.5, *, background: float | None = None, force: bool = True
) -> Matches:
    """The object that each anchor stands for.

    An anchor stands for the object that it overlaps most, if by more than ``threshold``; and each object has its best
    anchor whatever the overlap, the last object where several want the same one (Liu et al. 2016, arXiv:1512.02325,
    section 2.2).

    Args:
        overlaps: From `jaccard`: objects, anchors. There may be no object.
        threshold: Above it an anchor is positive.
        background: An anchor that overlaps nothing by this much is negative; None for all that are not positive
            (RetinaNet, arXiv:1708.02002, takes 0.4 with a threshold of 0.5).
        force: Whether each object gets its best anchor.

    Raises:
        InputError: If ``background`` is above ``threshold``.
    """
    if background is not None and background > threshold:
        raise InputError(f"match: background must not be above threshold {threshold:g}, got {background:g}.")
    objects, anchors = overlaps.shape
    if objects == 0:
        nothing = overlaps.new_zeros(anchors, dtype=torch.bool)
        return Matches(nothing.long(), overlaps.new_zeros(anchors), nothing, ~nothing)
    overlap, index = overlaps.max(0)
    positive = overlap > threshold
    if force:
        best = overlaps.argmax(1)
        numbers = torch.arange(objects, device=overlaps.device)
        # the largest number: what a loop over the objects would have written last
        forced = torch.full_like(index, -1).scatter_reduce(0, best, numbers, "amax")
        index = torch.where(forced >= 0, forced, index)
        positive = positive | (forced >= 0)
    negative = ~positive if background is None else ~positive & (overlap < background)
    return Matches(index, overlaps.gather(0, index[None])[0], positive, negative)


def encode(
    boxes: Float[Tensor, "*n box"], anchors: Float[Tensor, "*n box"], *, variance: tuple[float, float] = (0.1, 0.2)
) -> Float[Tensor, "*n box"]:
    """Offsets that lead from anchors to boxes: ``(c - c_a) / (v_0 s_a)`` and ``log(s / s_a) / v_1``.

    Liu et al. 2016, arXiv:1512.02325, equation 2; the variances are of its code.

    Args:
        boxes: One for each anchor, of lengths above 0.
        anchors: Of lengths above 0.
        variance: v_0 of the middles and v_1 of the lengths; (1, 1) for none.
    """
    (centre, size), (anchor_centre, anchor_size) = centre_and_size(boxes), centre_and_size(anchors)
    moved = (centre - anchor_centre) / (variance[0] * anchor_size)
    return torch.cat([moved, (size / anchor_size).log() / variance[1]], -1)


def decode(
    offsets: Float[Tensor, "*n box"], anchors: Float[Tensor, "*n box"], *, variance: tuple[float, float] = (0.1, 0.2)
) -> Float[Tensor, "*n box"]:
    """Boxes that offsets lead to from anchors: the inverse of `encode`.

    Args:
        offsets: What a network says.
        anchors: One for each.
        variance: As for `encode`.
    """
    moved, grown = offsets.chunk(2, -1)
    centre, size = centre_and_size(anchors)
    return from_centre_and_size(centre + moved * variance[0] * size, size * (grown * variance[1]).exp())


def decode_within_cell(
    activations: Float[Tensor, "*n box"], anchors: Float[Tensor, "*n box"], cells: Float[Tensor, "*n d"]
) -> Float[Tensor, "*n box"]:
    """Boxes that stay near their anchors: with t = tanh of the activations, the middle moves by at most half a cell,
    ``c_a + t / 2 cell``, and the size is ``(1 + t / 2) s_a``, 0.5 to 1.5 times that of the anchor.

    fastai, Deep Learning Part 2 (2018), lesson 9. Its text says half to double; its code, and so this, 0.5 to 1.5.

    Args:
        activations: What a network says.
        anchors: One for each.
        cells: Lengths of the cell of the grid that each anchor sits in.
    """
    moved, grown = activations.tanh().chunk(2, -1)
    centre, size = centre_and_size(anchors)
    return from_centre_and_size(centre + moved / 2 * cells, (1 + grown / 2) * size)


def clip(boxes: Float[Tensor, "*n box"], size: Float[Tensor, "d"]) -> Float[Tensor, "*n box"]:
    """The parts of boxes that lie within an image of this size; empty ones lie on its border."""
    return torch.minimum(boxes.clamp_min(0), size.repeat(2))


def non_maximum_suppression(
    boxes: Float[Tensor, "n box"],
    scores: Float[Tensor, "scores"],
    *,
    overlap: float = 0.5,
    classes: Integer[Tensor, "classes"] | None = None,
    candidates: int | None = None,
    limit: int | None = None,
) -> Integer[Tensor, "k"]:
    """Which boxes are left when each has removed those of lower scores that it overlaps; highest score first.

    Args:
        boxes: Of any unit.
        scores: One for each; of equal ones the first comes first.
        overlap: A box whose Jaccard overlap with a kept one is above this goes.
        classes: Boxes of different classes leave one another alone; None for one class.
        candidates: How many of each class are looked at, highest first; None for all.
        limit: How many are kept in all; None for all.

    Raises:
        InputError: If boxes, scores and classes are not of the same number.

    >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2.2], [5, 5, 6, 6]])
    >>> non_maximum_suppression(boxes, torch.tensor([0.8, 0.9, 0.7]))
    tensor([1, 2])
    """
    if len(boxes) != len(scores) or (classes is not None and len(classes) != len(boxes)):
        raise InputError(f"non_maximum_suppression: each box must have a score and a class, got {len(boxes)} boxes.")
    if classes is None:
        kept = _suppress(boxes, scores, overlap, candidates)
    else:
        groups = [(classes == name).nonzero()[:, 0] for name in classes.unique()]
        found = [group[_suppress(boxes[group], scores[group], overlap, candidates)] for group in groups]
        kept = torch.cat(found) if found else classes.new_zeros(0, dtype=torch.long)
        kept = kept[scores[kept].argsort(descending=True, stable=True)]
    return kept[:limit]


def _suppress(boxes: Tensor, scores: Tensor, overlap: float, candidates: int | None) -> Tensor:
    """A chunk at a time: within it one after the other, of all that come behind it those that it overlaps at once."""
    left = scores.argsort(descending=True, stable=True)[:candidates]
    kept = []
    while len(left):
        head, left = left[:CHUNK], left[CHUNK:]
        alike = _overlap_more(boxes[head], boxes[head], overlap).cpu().numpy()
        alive = np.ones(len(head), bool)
        for place in range(len(head)):
            if alive[place]:
                alive[place + 1 :] &= ~alike[place, place + 1 :]
        head = head[torch.from_numpy(alive).to(head.device)]
        kept.append(head)
        left = left[~_overlap_more(boxes[head], boxes[left], overlap).any(0)]
    return torch.cat(kept) if kept else left


def _overlap_more(first: Tensor, second: Tensor, overlap: float) -> Tensor:
    """Which of each overlap which by more than that, (n, m), without a division."""
    shared = _shared(first[:, None], second)
    return shared > overlap * (content(first)[:, None] + content(second) - shared)


def _shared(first: Tensor, second: Tensor) -> Tensor:
    """Content of intersections, broadcast; an axis at a time, which holds no array of all axes."""
    dims = first.shape[-1] // 2
    sides = (
        torch.minimum(first[..., axis + dims], second[..., axis + dims])
        .sub_(torch.maximum(first[..., axis], second[..., axis]))
        .clamp_min_(0)
        for axis in range(dims)
    )
    return functools.reduce(torch.mul, sides)
