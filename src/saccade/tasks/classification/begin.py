"""How a run of classification or regression begins: which cases, and what is decided from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.data.classification.case import Case, ImageDataset
from saccade.data.classification.folds import deal_folds
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.classification.read import source_hash
from saccade.data.classification.targets import kind_of
from saccade.errors import InputError
from saccade.systems import Implementation
from saccade.tasks.begin import with_plan
from saccade.tasks.classification.config import LOSSES_OF, ClassificationConfig
from saccade.tasks.classification.plan import plan_images, plan_targets, take_fingerprint
from saccade.tasks.classification.targets import balanced_weights
from saccade.tasks.settings import merge


def open_dataset(data: Path | str, settings: Mapping[str, Any]) -> ImageDataset:
    """The data set of a folder or file; of a table the user may name the columns.

    Raises:
        InputError: If it cannot be used, or no image has a target.
    """
    columns = settings.get("columns")
    if columns is not None and (isinstance(columns, str) or not columns):
        raise InputError(f"data.columns: must be a list of columns, got {columns!r}. Write data.columns=[{columns}].")
    dataset = find_image_dataset(data, columns)
    if not dataset.labelled():
        raise InputError(f"{dataset.root}: must have images with a target to train on, found none.")
    return dataset


def deal(dataset: ImageDataset, cases: list[Case], folds: int) -> list[list[str]]:
    """Ids of cases dealt out to folds, each with its share of every class and no patient in two.

    Raises:
        InputError: If there are fewer cases than folds.
    """
    by_class = kind_of(dataset.columns, cases, str(dataset.root)) == "classes"
    return deal_folds(cases, folds, by_class=by_class)


def describe_case(case: Case) -> dict[str, Any]:
    """Where a case's image is, its targets, and the hash of the image with them."""
    return {
        "image": [str(case.source)],
        "target": list(case.values),
        "sha256": {"image": source_hash(case.source), "target": "|".join(case.values)},
    }


def plan(
    system: str,
    dataset: ImageDataset,
    cases: list[Case],
    *,
    preset: str,
    overrides: Mapping[str, Any],
    implementation: Implementation,
    device: str = "cpu",
) -> ClassificationConfig:
    """The configuration of a run: the preset, then what the data decides, then what the user says; see `Task.plan`."""
    chosen = implementation.PRESETS[preset]
    own = overrides.get("data", {})
    decided: dict[str, Any] = {
        "data": {
            "root": str(dataset.root.resolve()),
            **plan_targets(dataset, cases, merge(chosen.get("data", {}), own)),
            **plan_images(take_fingerprint(cases), **chosen.get("plan", {})),
        }
    }
    decided = merge(decided, {key: value for key, value in chosen.items() if key != "plan"}, overrides)
    if (decided["data"].get("intensity") or {}).get("kind") != "standardise" and "intensity" in own:
        decided["data"]["intensity"] = own["intensity"]  # what was decided for another kind means nothing here
    config = ClassificationConfig.parse(merge({"system": system, "preset": preset}, decided), system)
    training = config.training
    found: dict[str, Any] = {}
    if training.loss == "auto":
        found["loss"] = LOSSES_OF[config.data.kind][0]
    if training.class_weights == "balanced":
        found["class_weights"] = balanced_weights(cases, config.data)
    config = config.model_copy(update={"training": training.model_copy(update=found)})
    return with_plan(config, implementation, device)
