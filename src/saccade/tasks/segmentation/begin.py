"""How a run begins: which cases, what is decided from them, and what is written down before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.data.layouts import Case, Dataset, find_dataset
from saccade.data.splits import file_hash, make_folds
from saccade.errors import InputError
from saccade.systems import Implementation
from saccade.tasks.begin import with_plan
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.labelled import with_labelled
from saccade.tasks.segmentation.plan import plan_data, take_fingerprint
from saccade.tasks.settings import merge


def plan(
    system: str,
    dataset: Dataset,
    cases: list[Case],
    *,
    preset: str,
    overrides: Mapping[str, Any],
    implementation: Implementation,
    device: str = "cpu",
) -> SegmentationConfig:
    """The configuration of a run: the preset, then what the data decides, then what the user says; see `Task.plan`."""
    chosen = implementation.PRESETS[preset]
    fingerprint = take_fingerprint(dataset, cases)
    unnamed = [value for value in fingerprint.values if value not in dataset.label_names]
    if dataset.label_names and unnamed and "label_names" not in overrides.get("data", {}):
        known = ", ".join(map(str, dataset.label_names))
        raise InputError(
            f"{dataset.root}: label values must be among {known}, found {unnamed}. Name the classes to learn."
        )
    decided: dict[str, Any] = {"data": plan_data(dataset, fingerprint, **chosen.get("plan", {}))}
    decided = merge(decided, {key: value for key, value in chosen.items() if key != "plan"}, overrides)
    config = SegmentationConfig.parse(merge({"system": system, "preset": preset}, decided), system)
    return with_labelled(with_plan(config, implementation, device), dataset, cases)


def deal(dataset: Dataset, cases: list[Case], folds: int) -> list[list[str]]:
    """Ids of labelled cases dealt out to folds.

    Raises:
        InputError: If there are fewer cases than folds.
    """
    if len(cases) < folds:
        raise InputError(
            f"{dataset.root}: must have at least {folds} labelled cases for {folds} folds, found {len(cases)}."
        )
    return make_folds([case.id for case in cases], folds)


def describe_case(case: Case) -> dict[str, Any]:
    """Where a case's files are, and their hashes by role."""
    return {"image": [str(path) for path in case.images], "label": str(case.label), "sha256": hash_files(case)}


def hash_files(case: Case) -> dict[str, str]:
    """SHA-256 of a case's files by role, so that a moved data set still proves to be the same."""
    images = {f"image {channel}": path for channel, path in enumerate(case.images)}
    files = images if case.label is None else {**images, "label": case.label}
    return {role: file_hash(path) for role, path in files.items()}


def open_dataset(data: Path | str, label_names: Mapping[int, str] | None) -> Dataset:
    """The data set of a folder; see `saccade.data.layouts` for the layouts."""
    dataset = find_dataset(data, label_names)
    if not dataset.labelled():
        raise InputError(
            f"{dataset.root}: must have labelled cases to train on, found none (layout: {dataset.layout})."
        )
    return dataset
