"""How a run begins: which cases, what is decided from them, and what is written down before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.data.layouts import Case, Dataset, find_dataset
from saccade.data.splits import file_hash, make_folds
from saccade.errors import InputError, unknown_name
from saccade.files import write_json
from saccade.systems import Implementation, find_implementation
from saccade.tasks.devices import Devices
from saccade.tasks.environment import describe_environment, fast_bfloat16
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.labelled import with_labelled
from saccade.tasks.segmentation.plan import plan_data, take_fingerprint
from saccade.tasks.settings import merge


@dataclass(frozen=True)
class Split:
    """Which cases are learnt from and which are held out, by id."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


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
    """The configuration of a run: the preset, then what the data decides, then what the user says.

    Args:
        system: Name.
        dataset: The data.
        cases: Training cases; nothing else is looked at.
        preset: One of the system's.
        overrides: Nested values that win.
        implementation: The system's module.
        device: Kind of device it is for; decides the precision.
    """
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
    training = config.training.model_copy(update={"precision": _plan_precision(config.training.precision, device)})
    config = config.model_copy(update={"network": _plan_network(config, implementation), "training": training})
    if "mlflow" in training.loggers:
        from saccade.tasks.loggers import need_mlflow

        need_mlflow(training.mlflow.tracking_uri)
    return with_labelled(config, dataset, cases)


def _plan_precision(asked: str, device: str) -> str:
    if asked != "auto":
        return asked
    return "bf16-mixed" if device != "mps" and fast_bfloat16(device) else "32-true"


def _plan_network(config: SegmentationConfig, implementation: Implementation) -> dict[str, Any]:
    """All settings of the network but those that follow from the data: channels and classes."""
    sizes = {"in_channels", "out_channels"}
    who = f"{config.system}: network"
    if given := sizes & set(config.network):
        raise InputError(f"{who}: {' and '.join(sorted(given))} must be left out, the data decides.")
    asked = implementation.Network.parse(config.network, who).model_dump(exclude_unset=True)
    planned = implementation.plan_network(config.data.model_dump(), asked)
    complete: dict[str, Any] = implementation.Network.parse(planned, who).model_dump(mode="json", exclude=sizes)
    return complete


def choose_split(dataset: Dataset, *, fold: int, folds: int) -> tuple[list[Case], list[Case]]:
    """Training and validation cases: as the data set says, else fold ``fold`` of ``folds`` is held out."""
    labelled = [case for case in dataset.labelled() if case.split != "test"]
    if any(case.split == "validation" for case in labelled):
        return [c for c in labelled if c.split != "validation"], [c for c in labelled if c.split == "validation"]
    if not 0 <= fold < folds:
        raise InputError(f"train: fold must be 0 to {folds - 1}, got {fold}.")
    if len(labelled) < folds:
        raise InputError(
            f"{dataset.root}: must have at least {folds} labelled cases for {folds} folds, found {len(labelled)}."
        )
    held_out = set(make_folds([case.id for case in labelled], folds)[fold])
    return [c for c in labelled if c.id not in held_out], [c for c in labelled if c.id in held_out]


def split_cases(dataset: Dataset, split: Split) -> tuple[list[Case], list[Case]]:
    """Training and validation cases of a split that names them.

    Raises:
        InputError: If a case is on both sides, is not there, or has no label.
    """
    if both := sorted({*split.train} & {*split.validation}):
        raise InputError(f"{dataset.root}: a case must be learnt from or held out, got both for {', '.join(both)}.")
    train, held_out = ([dataset.case(id) for id in ids] for ids in (split.train, split.validation))
    if bare := [case.id for case in (*train, *held_out) if case.label is None]:
        raise InputError(f"{dataset.root}: each case of the split must have a label, got none for {', '.join(bare)}.")
    return train, held_out


def describe_run(
    config: SegmentationConfig, run: Path, train: list[Case], validation: list[Case], devices: Devices
) -> None:
    """Write environment.json, splits.json (with the hash of every file) and, when all else is there, config.yaml."""
    files = {
        case.id: {
            "image": [str(path) for path in case.images],
            "label": str(case.label),
            "sha256": hash_files(case),
        }
        for case in (*train, *validation)
    }
    ids = {"train": [c.id for c in train], "validation": [c.id for c in validation]}
    write_json(run / "splits.json", {**ids, "files": files})
    write_json(
        run / "environment.json",
        {
            **describe_environment(),
            "devices": {"kind": devices.kind, "count": devices.count, "nodes": devices.nodes},
            "seed": config.training.seed,
        },
    )
    config.write(run / "config.yaml")


def hash_files(case: Case) -> dict[str, str]:
    """SHA-256 of a case's files by role, so that a moved data set still proves to be the same."""
    images = {f"image {channel}": path for channel, path in enumerate(case.images)}
    files = images if case.label is None else {**images, "label": case.label}
    return {role: file_hash(path) for role, path in files.items()}


def open_dataset(data: Path | str, label_names: Mapping[int, str] | None) -> Dataset:
    """The data set of a folder; see `saccade.data.layouts` for the layouts."""
    dataset = find_dataset(data, label_names)
    find_labelled = dataset.labelled()
    if not find_labelled:
        raise InputError(
            f"{dataset.root}: must have labelled cases to train on, found none (layout: {dataset.layout})."
        )
    return dataset


def implementation_of(system: str, preset: str, network: Mapping[str, Any]) -> Implementation:
    """What a segmentation system offers, with the preset checked; ``network`` has the settings that the user gave."""
    found = find_implementation(system, network)
    if preset not in found.PRESETS:
        raise unknown_name(system, "preset", preset, list(found.PRESETS))
    return found
