"""Decisions taken from images and their boxes: classes, descriptors, size, values. All end in config.yaml."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from saccade.data.classification.case import Case
from saccade.data.classification.targets import class_order
from saccade.data.detection.case import BoxDataset, Scene
from saccade.errors import InputError
from saccade.tasks.classification.plan import LOOKED_AT, plan_images, take_fingerprint
from saccade.tasks.detection.frame import read_framed

MULTIPLE = 32  # pixels of a picture's sides: the step of the coarsest map of a ResNet, so that grids end at its border


def plan_objects(dataset: BoxDataset, scenes: Sequence[Scene], asked: Mapping[str, Any], wanted: Any) -> dict[str, Any]:
    """Classes, and the values of the descriptors that a system learns.

    Args:
        dataset: The data.
        scenes: Those to learn from.
        asked: What the user says of it: ``classes``, and ``descriptors`` in place of the system's: name -> values, or
            none for those that are there.
        wanted: Names of the descriptors that the system learns where the user names none.

    Raises:
        InputError: If there is nothing to learn, a descriptor is not there, or the system learns none.
    """
    objects = [item for scene in scenes for item in scene.objects if not (item.difficult or item.crowd)]
    if not objects:
        raise InputError(f"{dataset.root}: must have objects in the images to train on, found none.")
    named: Mapping[str, Sequence[str]] = asked.get("descriptors") or dict.fromkeys(wanted, ())
    if named and not wanted:
        raise InputError("data.descriptors: this system learns none. Leave it out, or take lesion-describer.")
    found = {}
    for name, listed in named.items():
        values = [item.more[name] for item in objects if item.more.get(name)]
        if not values:
            known = ", ".join(sorted({key for item in objects for key in item.more})) or "nothing more"
            raise InputError(f"{dataset.root}: objects must have '{name}', which this system learns, have {known}.")
        found[name] = list(listed) or class_order(values)
    return {"classes": list(asked.get("classes") or dataset.names), "descriptors": found}


def plan_scenes(dataset: BoxDataset, scenes: Sequence[Scene], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Channels, size and intensity.

    The size is the images' median, shrunk to at most as many pixels as the preset says; sides of pictures become
    multiples of 32.

    Args:
        dataset: The data.
        scenes: Those to learn from.
        hints: Of the preset: ``pixels``, and whether the size is to be ``square``.

    Raises:
        InputError: If an image cannot be read, or boxes have other axes than images.
    """
    found = plan_images(take_fingerprint([Case(scene.id, scene.image) for scene in scenes]), pixels=hints.get("pixels"))
    size: list[int] = found["size"]
    if len(size) != dataset.dims:
        raise InputError(f"{dataset.root}: images have {len(size)} axes, boxes have {dataset.dims}; they must agree.")
    if hints.get("square"):
        size = [round(prod(size) ** (1 / len(size)))] * len(size)
    if len(size) == 2 and not hints.get("square"):
        size = [max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE) for side in size]
    return {"channels": found["channels"], "size": size, "intensity": found["intensity"]}


def sides_of_objects(scenes: Sequence[Scene], size: Sequence[int]) -> list[float]:
    """How long the sides (root of the area or volume) of objects are, in pixels of that size.

    A class of few and small objects counts like any other: the least of the classes' percentiles 10, the median of all
    objects, and the greatest of the classes' percentiles 90.

    Args:
        scenes: Those to learn from.
        size: That images are stretched to.

    Raises:
        InputError: If an image cannot be read.
    """
    step = max(1, len(scenes) // LOOKED_AT)
    sides: dict[str, list[float]] = {}
    for scene in scenes[::step][:LOOKED_AT]:
        known = [item for item in scene.objects if not (item.difficult or item.crowd)]
        if not known:
            continue
        boxes = np.array([item.box for item in known], float).reshape(len(known), -1)
        _, frame, _ = read_framed(scene.image, size)
        low, high = np.split(frame.to_prepared(boxes), 2, axis=1)
        lengths = (high - low).clip(0).prod(1) ** (1 / len(size))
        for item, length in zip(known, lengths.tolist(), strict=True):
            if length > 0:
                sides.setdefault(item.name, []).append(length)
    if not sides:
        raise InputError("detection: the objects to train on must have boxes with lengths above 0.")
    ends = np.array([np.percentile(of_class, (10, 90)) for of_class in sides.values()])
    middle = np.median(np.concatenate([*sides.values()]))
    return [round(float(value), 1) for value in (ends[:, 0].min(), middle, ends[:, 1].max())]
