"""Losses of detectors in two stages: which anchors propose regions, and which class a proposed region is of.

Faster R-CNN: Ren et al. 2015, arXiv:1506.01497, section 3.1; Girshick 2015, arXiv:1504.08083, section 2.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from saccade.layers.boxes import encode, jaccard, part_inside
from saccade.losses.detection import DetectionLoss, Objects, stand_for

NO_VARIANCE = (1.0, 1.0)
REGION_VARIANCE = (0.1, 0.2)  # of the regions' offsets, as in the authors' code: what is left to correct is small
UNKNOWN = -1  # a descriptor of background, or one that nobody wrote down


@dataclass(frozen=True)
class Sampled:
    """Regions to learn from, image by image.

    Attributes:
        boxes: For each image, (n, 2d).
        classes: (r,) Of all regions, 0 for background, else the class's number plus 1.
        wanted: (r, 2d) The box of each one's object; the region itself for background.
        more: Descriptor -> (r,) number of its value; -1 for background and what is not known.
    """

    boxes: tuple[Float[Tensor, "_ box"], ...]
    classes: Integer[Tensor, "r"]
    wanted: Float[Tensor, "r box"]
    more: Mapping[str, Integer[Tensor, "r"]]

    @property
    def all_boxes(self) -> Float[Tensor, "r box"]:
        """Of all regions."""
        return torch.cat(list(self.boxes))


def proposal_loss(
    scores: Float[Tensor, "b a"],
    offsets: Float[Tensor, "b a box"],
    objects: Sequence[Objects],
    anchors: Float[Tensor, "a box"],
    *,
    threshold: float = 0.7,
    background: float = 0.3,
    sampled: int = 64,
) -> DetectionLoss:
    """Log loss of a random choice of anchors, and smooth L1 of those among them that stand for objects.

    Of each image at most half of the choice are anchors that stand for an object, the rest is background. Both parts
    are divided by the number of anchors chosen.

    Args:
        scores: Of an object, as logits, for each anchor.
        offsets: For `decode`, without variances.
        objects: One entry for each image.
        anchors: Corners.
        threshold: Overlap above which an anchor stands for an object; each object's best anchor always does.
        background: Overlap below which an anchor is background; between both it does not count.
        sampled: Anchors of an image, the paper's 256.
    """
    location, presence, count = offsets.new_zeros(()), scores.new_zeros(()), 0
    for score, offset, known in zip(scores, offsets, objects, strict=True):
        found = stand_for(known, anchors, threshold, background=background)
        positive = _some(found.positive, sampled // 2)
        negative = _some(found.negative, sampled - len(positive))
        chosen = torch.cat([positive, negative])
        presence = presence + F.binary_cross_entropy_with_logits(
            score[chosen], found.positive[chosen].to(score.dtype), reduction="sum"
        )
        wanted = encode(known.boxes[found.index[positive]], anchors[positive], variance=NO_VARIANCE)
        location = location + F.smooth_l1_loss(offset[positive], wanted, reduction="sum")
        count += len(chosen)
    return DetectionLoss(location / max(1, count), presence / max(1, count))


def sample_regions(
    proposals: Sequence[Float[Tensor, "_ box"]],
    objects: Sequence[Objects],
    *,
    threshold: float = 0.5,
    sampled: int = 16,
    positives: float = 0.5,
) -> Sampled:
    """A random choice of proposals, the true boxes among them, and what each of them is.

    A region stands for the object that it overlaps most, if by at least the threshold; else it is background, unless it
    lies in what is ignored.

    Args:
        proposals: Of each image.
        objects: One entry for each image.
        threshold: Jaccard overlap.
        sampled: Regions of an image at most, the paper's 64.
        positives: Part of these that may stand for objects; the paper's quarter.
    """
    boxes, classes, wanted = [], [], []
    more: dict[str, list[Tensor]] = {name: [] for name in objects[0].more}
    for of_image, known in zip(proposals, objects, strict=True):
        candidates = torch.cat([known.boxes, of_image.to(known.boxes)])
        # a last row for no object, which every region overlaps by 0
        overlaps = torch.cat([jaccard(known.boxes, candidates), candidates.new_zeros(1, len(candidates))])
        best, index = overlaps.max(0)
        positive = best >= threshold
        negative = ~positive
        if known.ignored is not None and len(known.ignored):
            negative &= ~(part_inside(candidates, known.ignored) > threshold).any(1)
        for_objects = _some(positive, int(sampled * positives))
        chosen = torch.cat([for_objects, _some(negative, sampled - len(for_objects))])
        index = index.where(positive, len(known.boxes))[chosen]
        boxes.append(candidates[chosen])
        classes.append(F.pad(known.classes + 1, (0, 1))[index])
        wanted.append(F.pad(known.boxes, (0, 0, 0, 1))[index].where(positive[chosen, None], candidates[chosen]))
        for name, numbers in known.more.items():
            more[name].append(F.pad(numbers, (0, 1), value=UNKNOWN)[index])
    joined = {name: torch.cat(parts) for name, parts in more.items()}
    return Sampled(tuple(boxes), torch.cat(classes), torch.cat(wanted), joined)


def region_loss(scores: Float[Tensor, "r columns"], offsets: Float[Tensor, "r box"], regions: Sampled) -> DetectionLoss:
    """Cross-entropy of all regions, and smooth L1 of those that stand for objects; both divided by the regions.

    Args:
        scores: Background in column 0, then the classes.
        offsets: For `decode` with `REGION_VARIANCE`.
        regions: What they are.
    """
    count = max(1, len(regions.classes))
    positive = regions.classes > 0
    target = encode(regions.wanted[positive], regions.all_boxes[positive], variance=REGION_VARIANCE)
    location = F.smooth_l1_loss(offsets[positive], target, reduction="sum") / count
    return DetectionLoss(location, F.cross_entropy(scores, regions.classes, reduction="sum") / count)


def description_losses(
    scores: Mapping[str, Float[Tensor, "r _"]], values: Mapping[str, Integer[Tensor, "r"]]
) -> dict[str, Float[Tensor, ""]]:
    """Of each descriptor the mean cross-entropy ``-log softmax(z)[v]`` of the regions whose value v is known.

    Regions of background and values that nobody wrote down count nowhere; with no value at all a loss is 0.

    Args:
        scores: Descriptor -> a column for each of its values.
        values: Descriptor -> number of the value; -1 where there is none.
    """
    losses = {}
    for name, score in scores.items():
        known = int((values[name] != UNKNOWN).sum())
        total = F.cross_entropy(score, values[name], ignore_index=UNKNOWN, reduction="sum")
        losses[name] = total / max(1, known)
    return losses


def _some(flags: Bool[Tensor, "n"], most: int) -> Integer[Tensor, "k"]:
    """Numbers of at most so many of the true ones, chosen by chance."""
    numbers = flags.nonzero()[:, 0]
    return numbers[torch.randperm(len(numbers), device=flags.device)[:most]]
