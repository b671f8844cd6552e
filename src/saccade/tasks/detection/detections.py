"""What a detector says of an image: boxes in the user's units with names and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from saccade.layers.boxes import clip
from saccade.tasks.detection.frame import Frame


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in an image, the surest first.

    Attributes:
        boxes: (n, 2d) float64 corners as `saccade.data.detection.case.Object.box` has them: (x1, y1, x2, y2) in pixels
            of the original picture, (x1, y1, z1, x2, y2, z2) in world mm of a volume.
        scores: (n,) from 0 to 1.
        names: Of their classes.
        more: What else is said of each, in words, by name; empty for plain detectors.
        size: Columns and rows of the picture; None for volumes.
    """

    boxes: Float[np.ndarray, "n box"]
    scores: Float[np.ndarray, "n"]
    names: tuple[str, ...]
    more: tuple[Mapping[str, str], ...] = ()
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Located:
    """What a system finds in one prepared image, the surest first.

    Attributes:
        boxes: (n, 2d) corners in pixels of the prepared image, its last axis first: x, y of pictures.
        scores: (n,) from 0 to 1.
        classes: (n,) numbers of their classes, from 0.
        more: What else is said of each, in words, by name; empty for plain detectors.
    """

    boxes: Float[Tensor, "n box"]
    scores: Float[Tensor, "n"]
    classes: Integer[Tensor, "n"]
    more: tuple[Mapping[str, str], ...] = ()


def detections_of(located: Located, frame: Frame, classes: Sequence[str]) -> Detections:
    """What was found in a prepared image, in the user's units; boxes end at the image's border.

    Args:
        located: By a system.
        frame: Of the image.
        classes: By number.
    """
    size = torch.tensor(frame.size[::-1], dtype=torch.float64)
    boxes = frame.to_user(clip(located.boxes.double().cpu(), size).numpy())
    names = tuple(classes[number] for number in located.classes.tolist())
    return Detections(boxes, located.scores.double().cpu().numpy(), names, located.more, frame.picture_size)
