"""How a run of detection begins: which images, and what is decided from them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.data.classification.case import Case
from saccade.data.classification.folds import deal_folds
from saccade.data.detection.case import BoxDataset, Scene
from saccade.data.detection.layouts import find_box_dataset
from saccade.data.splits import file_hash
from saccade.errors import InputError
from saccade.systems import Implementation
from saccade.tasks.begin import with_plan
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.hooks import DetectionSystem
from saccade.tasks.detection.plan import plan_objects, plan_scenes, sides_of_objects
from saccade.tasks.settings import merge


def open_dataset(data: Path | str, settings: Mapping[str, Any]) -> BoxDataset:
    """The data set of a folder or file.

    Raises:
        InputError: If it cannot be used, or an object is of a class that the settings do not have.
    """
    dataset = find_box_dataset(data)
    if asked := settings.get("classes"):
        for scene in dataset.scenes:
            for item in scene.objects:
                if item.name not in asked:
                    raise InputError(
                        f"{scene.image}: an object is a {item.name}, which data.classes has not: {', '.join(asked)}."
                    )
    return dataset


def deal(dataset: BoxDataset, scenes: list[Scene], folds: int) -> list[list[str]]:
    """Ids of images dealt out to folds of equal size.

    Raises:
        InputError: If there are fewer images than folds.
    """
    return deal_folds([Case(scene.id, scene.image) for scene in scenes], folds, by_class=False)


def describe_case(scene: Scene) -> dict[str, Any]:
    """Where a scene's image is, how many objects are in it, and the hashes of both."""
    objects = hashlib.sha256(repr(scene.objects).encode()).hexdigest()
    return {
        "image": [str(scene.image)],
        "objects": len(scene.objects),
        "sha256": {"image": file_hash(scene.image), "objects": objects},
    }


def plan(
    system: str,
    dataset: BoxDataset,
    cases: list[Scene],
    *,
    preset: str,
    overrides: Mapping[str, Any],
    implementation: Implementation,
    device: str = "cpu",
) -> DetectionConfig:
    """The configuration of a run: the preset, then what the data decides, then what the user says; see `Task.plan`.

    Raises:
        InputError: If the system is none for detection, or cannot be trained on this or so.
    """
    if not isinstance(implementation, DetectionSystem):
        raise InputError(f"{system}: has no training_loss and detect, which detection needs; see `saccade systems`.")
    chosen = implementation.PRESETS[preset]
    hints = chosen.get("plan", {})
    asked = merge(chosen.get("data", {}), overrides.get("data", {}))
    objects = plan_objects(dataset, cases, asked, hints.get("descriptors", ()))
    decided: dict[str, Any] = {
        "data": {"root": str(dataset.root.resolve()), **objects, **plan_scenes(dataset, cases, hints)}
    }
    if "intensity" in asked:
        decided["data"].pop("intensity")  # what was decided for another kind means nothing here
    size = asked.get("size") or decided["data"]["size"]
    decided["data"]["object_sides"] = sides_of_objects(cases, size)
    decided = merge(decided, {key: value for key, value in chosen.items() if key != "plan"}, overrides)
    decided["data"]["descriptors"] = objects["descriptors"]  # the user's are among them, those without values filled
    config = DetectionConfig.parse(merge({"system": system, "preset": preset}, decided), system)
    losses = implementation.LOSSES
    loss = losses[0] if config.training.loss == "auto" else config.training.loss
    if loss not in losses:
        raise InputError(f"{system}: training.loss must be {' or '.join(losses)}, got {loss}.")
    config = config.model_copy(update={"training": config.training.model_copy(update={"loss": loss})})
    return with_plan(config, implementation, device)
