"""Losses of detectors: which anchors stand for which object is decided here, then classes and boxes are scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from saccade.layers.boxes import Matches, decode_within_cell, encode, jaccard, match, part_inside

ClassLoss = Callable[[Tensor, Tensor], Tensor]
binary_cross_entropy: ClassLoss = partial(F.binary_cross_entropy_with_logits, reduction="none")


@dataclass(frozen=True)
class Objects:
    """What is to be found in an image.

    Attributes:
        boxes: (n, 2d) Corners in the unit of the anchors; n may be 0.
        classes: (n,) Numbers of their classes, from 0.
        ignored: (m, 2d) Boxes of what counts nowhere (difficult objects, crowds): an anchor that lies in one by more
            than the threshold of the loss is no background. None for none.
        more: What else is to be said of them: for each descriptor the number of each object's value, -1 for unknown.
    """

    boxes: Float[Tensor, "n box"]
    classes: Integer[Tensor, "n"]
    ignored: Float[Tensor, "m box"] | None = None
    more: Mapping[str, Integer[Tensor, "n"]] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectionLoss:
    """The two parts, each a number.

    Attributes:
        location: Of the boxes.
        classes: Of the classes.
    """

    location: Float[Tensor, ""]
    classes: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return self.location + self.classes


def lecture_loss(
    scores: Float[Tensor, "b a classes"],
    activations: Float[Tensor, "b a box"],
    objects: Sequence[Objects],
    anchors: Float[Tensor, "a box"],
    cells: Float[Tensor, "a d"],
    *,
    threshold: float = 0.4,
    class_loss: ClassLoss = binary_cross_entropy,
) -> DetectionLoss:
    """The loss of fastai's Deep Learning Part 2 (2018), lesson 9, summed over images.

    Of each image the mean distance ``|decoded corner - corner|`` over the anchors that stand for an object, and the sum
    over all anchors of ``class_loss`` of each class, divided by the number of classes. Background is no class: there
    all targets are 0. An image without objects has only background.

    Args:
        scores: Of each class, for each anchor.
        activations: For `decode_within_cell`.
        objects: One entry for each image.
        anchors: Corners, from `grid_anchors`.
        cells: Their cells.
        threshold: Overlap above which an anchor stands for an object; the lecture's demonstration has 0.5.
        class_loss: From scores and targets to a loss for each, such as `focal_loss`.
    """
    location, classes = activations.new_zeros(()), scores.new_zeros(())
    for score, activation, known in zip(scores, activations, objects, strict=True):
        found = stand_for(known, anchors, threshold)
        counted = found.positive | found.negative
        targets = _one_hot(known, found, score.shape[-1]).to(score.dtype)
        classes = classes + class_loss(score[counted], targets[counted]).sum() / score.shape[-1]
        if found.positive.any():
            boxes = decode_within_cell(activation, anchors, cells)[found.positive]
            location = location + (boxes - known.boxes[found.index[found.positive]]).abs().mean()
    return DetectionLoss(location, classes)


def multibox_loss(
    scores: Float[Tensor, "b a columns"],
    offsets: Float[Tensor, "b a box"],
    objects: Sequence[Objects],
    anchors: Float[Tensor, "a box"],
    *,
    threshold: float = 0.5,
    negatives: float = 3.0,
) -> DetectionLoss:
    """SSD's loss: Liu et al. 2016, arXiv:1512.02325, equations 1 to 3.

    ``sum smooth_L1(offsets - encode(box)) / N`` over the N anchors of the batch that stand for an object, and
    ``sum cross_entropy / N`` over these and, of each image, the hardest background anchors, three times as many.

    Args:
        scores: Background in column 0, then the classes, for each anchor.
        offsets: For `decode`.
        objects: One entry for each image.
        anchors: Corners.
        threshold: Overlap above which an anchor stands for an object.
        negatives: Background anchors for each that stands for an object; an image without any has none.
    """
    location, classes = offsets.new_zeros(()), scores.new_zeros(())
    count = 0
    for score, offset, known in zip(scores, offsets, objects, strict=True):
        found = stand_for(known, anchors, threshold)
        positive = found.positive
        targets = torch.zeros_like(found.index)
        targets[positive] = known.classes[found.index[positive]] + 1
        loss = F.cross_entropy(score, targets, reduction="none")
        ranks = loss.detach().where(found.negative, -torch.inf).argsort(descending=True).argsort()
        hard = found.negative & (ranks < int(negatives * int(positive.sum())))
        classes = classes + loss[positive | hard].sum()
        wanted = encode(known.boxes[found.index[positive]], anchors[positive])
        location = location + F.smooth_l1_loss(offset[positive], wanted, reduction="sum")
        count += int(positive.sum())
    return DetectionLoss(location / max(1, count), classes / max(1, count))


def focal_detection_loss(
    scores: Float[Tensor, "b a classes"],
    offsets: Float[Tensor, "b a box"],
    objects: Sequence[Objects],
    anchors: Float[Tensor, "a box"],
    *,
    class_loss: ClassLoss,
    threshold: float = 0.5,
    background: float = 0.4,
    beta: float = 1 / 9,
    variance: tuple[float, float] = (1.0, 1.0),
) -> DetectionLoss:
    """RetinaNet's loss: Lin et al. 2017, arXiv:1708.02002, section 4: of all anchors, divided by the positive ones.

    Args:
        scores: Of each class, for each anchor; background is no class.
        offsets: For `decode`.
        objects: One entry for each image.
        anchors: Corners.
        class_loss: From scores and targets to a loss for each, such as `focal_loss`.
        threshold: Overlap above which an anchor stands for an object.
        background: Overlap below which an anchor is background; between both it does not count.
        beta: Where smooth L1 turns from squared to linear.
        variance: Of the offsets.
    """
    location, classes = offsets.new_zeros(()), scores.new_zeros(())
    count = 0
    for score, offset, known in zip(scores, offsets, objects, strict=True):
        found = stand_for(known, anchors, threshold, background=background)
        counted, positive = found.positive | found.negative, found.positive
        targets = _one_hot(known, found, score.shape[-1]).to(score.dtype)
        classes = classes + class_loss(score[counted], targets[counted]).sum()
        wanted = encode(known.boxes[found.index[positive]], anchors[positive], variance=variance)
        location = location + F.smooth_l1_loss(offset[positive], wanted, beta=beta, reduction="sum")
        count += int(positive.sum())
    return DetectionLoss(location / max(1, count), classes / max(1, count))


def stand_for(
    known: Objects, anchors: Float[Tensor, "a box"], threshold: float, *, background: float | None = None
) -> Matches:
    """What each anchor stands for, as `match` has it; one within what is ignored is no background.

    Args:
        known: What is to be found.
        anchors: Corners.
        threshold: Overlap above which an anchor is positive; and the part of it that may lie in an ignored box.
        background: As for `match`.
    """
    found = match(jaccard(known.boxes, anchors), threshold, background=background)
    if known.ignored is None or not len(known.ignored):
        return found
    within = (part_inside(anchors, known.ignored) > threshold).any(1)
    return replace(found, negative=found.negative & ~within)


def _one_hot(known: Objects, found: Matches, classes: int) -> Tensor:
    """(a, classes): 1 where an anchor stands for an object of that class."""
    targets = torch.zeros(len(found.index), classes, device=found.index.device)
    targets[found.positive.nonzero()[:, 0], known.classes[found.index[found.positive]]] = 1
    return targets
