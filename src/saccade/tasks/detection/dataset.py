"""Images and boxes as a network takes them, prepared once and kept; in training changed as seed, epoch and case say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image
from saccade.data.detection.case import Object, Scene
from saccade.errors import InputError
from saccade.layers.boxes import clip, content
from saccade.losses.detection import Objects
from saccade.tasks.detection.augment import augment
from saccade.tasks.detection.config import Data, DetectionConfig
from saccade.tasks.detection.frame import Frame, read_framed
from saccade.tasks.prepared import Prepared, Views

WHITE = 255  # of pictures, whose values the lecture's lighting wants from 0 to 1
Item = tuple[Tensor, Objects]


def prepare_image(image: Image, data: Data, where: str) -> Tensor:
    """An image (c, *space) as a run's network takes it.

    Raises:
        InputError: If it has another number of channels.
    """
    values = Values(**data.intensity.model_dump())
    return prepare(image, channels=data.channels, size=data.size, fit="stretch", values=values, where=where)


def prepare_objects(objects: Sequence[Object], frame: Frame, data: Data, where: str) -> Objects:
    """Objects as numbers, their boxes in pixels of the prepared image, cut at its border.

    Difficult objects and crowds are neither learnt nor background: their boxes are those to be ignored. A box that is
    empty, in its file or within the image, is left out.

    Raises:
        InputError: If a box has reversed corners, numbers that are none, or other axes; or a class is not the run's.
    """
    for item in objects:
        _check(item, frame, data, where)
    boxes = np.array([item.box for item in objects], float).reshape(-1, 2 * len(frame.shape))
    placed = torch.from_numpy(frame.to_prepared(boxes)).float()
    placed = clip(placed, torch.tensor(frame.size[::-1], dtype=torch.float32))
    there = content(placed) > 0
    counts = torch.tensor([not (item.difficult or item.crowd) for item in objects], dtype=torch.bool)
    learnt = there & counts
    chosen = [item for item, keep in zip(objects, learnt.tolist(), strict=True) if keep]
    classes = torch.tensor([data.classes.index(item.name) for item in chosen], dtype=torch.long)
    more = {
        name: torch.tensor([_number(values, item.more.get(name)) for item in chosen], dtype=torch.long)
        for name, values in data.descriptors.items()
    }
    return Objects(placed[learnt], classes, placed[there & ~counts], more)


class PreparedScenes(Prepared[Scene, Item]):
    """Images (c, *space) and their objects.

    Attributes:
        frames: Of the images prepared so far, by number.
    """

    def __init__(self, scenes: Sequence[Scene], config: DetectionConfig) -> None:
        super().__init__(scenes, config)
        self.frames: dict[int, Frame] = {}

    def make(self, index: int) -> Item:
        scene, data = self.cases[index], self.config.data
        image, frame, where = read_framed(scene.image, data.size)
        self.frames[index] = frame
        return prepare_image(image, data, where), prepare_objects(scene.objects, frame, data, where)

    def scene(self, index: int, system: Any) -> Scene:
        """A scene with what is to be found in it: its objects, or what the system makes of them."""
        scene, objects = self.cases[index], self[index][1]
        wanted = wanted_of(objects, system, self.config)
        if wanted is objects:
            return scene
        names = [self.config.data.classes[number] for number in wanted.classes.tolist()]
        boxes = self.frames[index].to_user(wanted.boxes.double().numpy()).tolist()
        return replace(scene, objects=tuple(Object(tuple(box), name) for box, name in zip(boxes, names, strict=True)))


class ChangedScenes(Views[Item]):
    """Changed images and what of their objects is left in them."""

    def view(self, index: int, generator: torch.Generator) -> Item:
        config = self.prepared.config
        image, objects = self.prepared[index]
        ignored = objects.boxes[:0] if objects.ignored is None else objects.ignored
        lit = config.augmentation.lecture_lighting is not None
        if lit:
            image = _to_units(image, config.data, back=False)
        view, boxes, kept = augment(image, torch.cat([objects.boxes, ignored]), config.augmentation, generator)
        if lit:
            view = _to_units(view, config.data, back=True)
        own = kept < len(objects.boxes)
        chosen = kept[own]
        more = {name: numbers[chosen] for name, numbers in objects.more.items()}
        return view, Objects(boxes[own], objects.classes[chosen], boxes[~own], more)


def wanted_of(objects: Objects, system: Any, config: DetectionConfig) -> Objects:
    """What of an image's objects a system is to find: all, unless it says otherwise."""
    simplify = getattr(system, "simplify", None)
    made: Objects = objects if simplify is None else simplify(objects, config.data.size, config)
    return made


def collate(items: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A batch of items: numbers and images stacked, of each image's objects a dictionary, which Lightning can move."""
    *rest, objects = zip(*items, strict=True)
    stacked = (torch.stack(part) if isinstance(part[0], Tensor) else torch.tensor(part) for part in rest)
    return (*stacked, [vars(of_image) for of_image in objects])


def _to_units(image: Tensor, data: Data, *, back: bool) -> Tensor:
    """Standardised values of a picture as 0 to 1, or the other way round."""
    shape = (-1, *[1] * (image.ndim - 1))
    mean, std = (torch.tensor(numbers).view(shape) for numbers in (data.intensity.mean, data.intensity.std))
    return (image * WHITE - mean) / std if back else (image * std + mean) / WHITE


def _check(item: Object, frame: Frame, data: Data, where: str) -> None:
    dims = len(frame.shape)
    shown = ", ".join(f"{value:g}" for value in item.box)
    if len(item.box) != 2 * dims or not np.isfinite(item.box).all():
        raise InputError(f"{where}: a box must be {2 * dims} finite numbers, got ({shown}).")
    if any(low > high for low, high in zip(item.box[:dims], item.box[dims:], strict=True)):
        raise InputError(f"{where}: a box must have its lower corner first, got ({shown}). See: saccade data check.")
    if item.name not in data.classes:
        known = ", ".join(data.classes[:8]) + (", ..." if len(data.classes) > 8 else "")
        raise InputError(f"{where}: an object must be one of {known}, got '{item.name}'.")


def _number(values: Sequence[str], text: str | None) -> int:
    return values.index(text) if text in values else -1


def image_of(source: Path | Any, data: Data) -> tuple[Tensor, Frame]:
    """An image of any kind as the network takes it, and its frame.

    Raises:
        InputError: If it cannot be used.
    """
    image, frame, where = read_framed(source, data.size)
    return prepare_image(image, data, where), frame
