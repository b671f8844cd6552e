"""How a run of landmarks begins: which cases, and what is decided from them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.data.classification.case import Case
from saccade.data.classification.folds import deal_folds
from saccade.data.landmarks.case import LandmarkCase, LandmarkDataset
from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.data.splits import file_hash
from saccade.errors import InputError
from saccade.systems import Implementation
from saccade.tasks.begin import with_plan
from saccade.tasks.classification.plan import plan_images, take_fingerprint
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.settings import merge


def open_dataset(data: Path | str, settings: Mapping[str, Any]) -> LandmarkDataset:
    """The data set of a folder or file.

    Raises:
        InputError: If it cannot be used, or no image has a landmark.
    """
    dataset = find_landmark_dataset(data)
    if not dataset.labelled():
        raise InputError(f"{dataset.root}: must have images with a landmark to train on, found none.")
    return dataset


def deal(dataset: LandmarkDataset, cases: list[LandmarkCase], folds: int) -> list[list[str]]:
    """Ids of cases dealt out to folds of equal size, no patient in two.

    Raises:
        InputError: If there are fewer cases than folds.
    """
    return deal_folds(_plain(cases), folds, by_class=False)


def describe_case(case: LandmarkCase) -> dict[str, Any]:
    """Where a case's image is, its landmarks, and the hashes of both."""
    points = hashlib.sha256("|".join(case.values).encode()).hexdigest()
    return {
        "image": [str(case.source)],
        "landmarks": len(case.points),
        "sha256": {"image": file_hash(case.source), "points": points},
    }


def plan(
    system: str,
    dataset: LandmarkDataset,
    cases: list[LandmarkCase],
    *,
    preset: str,
    overrides: Mapping[str, Any],
    implementation: Implementation,
    device: str = "cpu",
) -> LandmarksConfig:
    """The configuration of a run: the preset, then what the data decides, then what the user says; see `Task.plan`.

    Raises:
        InputError: If a landmark is in none of the training cases, or images have other axes than points.
    """
    chosen = implementation.PRESETS[preset]
    own = overrides.get("data", {})
    found = plan_images(take_fingerprint(_plain(cases)), **chosen.get("plan", {}))
    if len(found["size"]) != dataset.dims:
        axes = len(found["size"])
        raise InputError(f"{dataset.root}: images have {axes} axes, points have {dataset.dims}; they must agree.")
    names = list(own.get("names") or dataset.names)
    there = {name for case in cases for name in case.points}
    if absent := [name for name in names if name not in there]:
        raise InputError(f"{dataset.root}: each landmark must be in a training image, {', '.join(absent)} is in none.")
    decided: dict[str, Any] = {"data": {"root": str(dataset.root.resolve()), "names": names, **found}}
    decided = merge(decided, {key: value for key, value in chosen.items() if key != "plan"}, overrides)
    if "intensity" in own:
        decided["data"]["intensity"] = own["intensity"]  # what was decided for another kind means nothing here
    config = LandmarksConfig.parse(merge({"system": system, "preset": preset}, decided), system)
    training: dict[str, Any] = {"sigma": config.sigma, "tolerance": config.tolerance}
    if config.training.missing is None:
        training["missing"] = any(name not in case.points for case in cases for name in names)
    inference = {"radius": config.radius}
    config = config.model_copy(
        update={
            "training": config.training.model_copy(update=training),
            "inference": config.inference.model_copy(update=inference),
        }
    )
    return with_plan(config, implementation, device)


def set_apart(cases: Sequence[LandmarkCase], part: float, seed: int) -> tuple[list[LandmarkCase], list[LandmarkCase]]:
    """Training cases for the network, and those on which the CRF's weights are learned.

    Args:
        cases: For both.
        part: Of the second; no patient is in both.
        seed: Of the division.
    """
    folds = min(round(1 / part), len({case.group or case.id for case in cases})) if part else 0
    if folds < 2:
        return list(cases), []
    second = set(deal_folds(_plain(cases), folds, by_class=False, seed=seed)[0])
    return [case for case in cases if case.id not in second], [case for case in cases if case.id in second]


def _plain(cases: Sequence[LandmarkCase]) -> list[Case]:
    """As images and groups alone."""
    return [Case(case.id, case.source, (), case.split, case.group) for case in cases]
