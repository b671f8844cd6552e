"""What detection systems share: objects in parts of an image, losses by name, and the choice of detections."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.layers.boxes import non_maximum_suppression
from saccade.losses.detection import ClassLoss, Objects, binary_cross_entropy
from saccade.losses.focal import focal_loss
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located


def sides_of(size: Sequence[int], like: Tensor) -> Float[Tensor, "box"]:
    """Pixels of an image along its last axis, the one before, ...; twice, for both corners of a box."""
    return torch.tensor([*reversed(size)] * 2, device=like.device, dtype=torch.float32)


def in_parts(objects: Objects, size: Sequence[int]) -> Objects:
    """Objects with their boxes in parts of an image of this size."""
    sides = sides_of(size, objects.boxes)
    ignored = None if objects.ignored is None else objects.ignored / sides
    return replace(objects, boxes=objects.boxes / sides, ignored=ignored)


def behind_background(objects: Objects) -> Objects:
    """Objects with the numbers of their classes where column 0 is background."""
    return replace(objects, classes=objects.classes + 1)


def class_loss_of(config: DetectionConfig) -> ClassLoss:
    """The loss that ``training.loss`` names, of each class and anchor.

    Softmax's is one for each anchor, whose target is background, column 0, where no column is 1.
    """
    training = config.training
    if training.loss == "focal":
        return partial(focal_loss, alpha=training.alpha, gamma=training.gamma)
    if training.loss == "softmax":
        return _cross_entropy
    return binary_cross_entropy


def chances(scores: Float[Tensor, "*b a columns"], config: DetectionConfig) -> Float[Tensor, "*b a classes"]:
    """Probabilities of the classes."""
    scores = scores.float()
    return scores.softmax(-1)[..., 1:] if config.training.loss == "softmax" else scores.sigmoid()


def select(
    boxes: Float[Tensor, "b a box"], chance: Float[Tensor, "b a classes"], config: DetectionConfig
) -> list[Located]:
    """Of all anchors of each image those that are sure enough, duplicates of a class removed, the surest first.

    Args:
        boxes: In pixels.
        chance: Of each class.
        config: ``inference`` says how sure, how many and how far apart.
    """
    settings = config.inference
    found = []
    for of_image, sure in zip(boxes.float(), chance, strict=True):
        anchor, number = (sure > settings.score).nonzero(as_tuple=True)
        scores = sure[anchor, number]
        kept = non_maximum_suppression(
            of_image[anchor],
            scores,
            overlap=settings.overlap,
            classes=number,
            candidates=settings.candidates,
            limit=settings.limit,
        )
        found.append(Located(of_image[anchor[kept]], scores[kept], number[kept]))
    return found


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores, targets.argmax(-1), reduction="none")
