"""How a run of any task begins: which cases, the settings that follow, and what is written before the training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from saccade.errors import InputError, unknown_name
from saccade.files import write_json
from saccade.systems import Implementation, find_implementation
from saccade.tasks.config import SIZES, RunConfig
from saccade.tasks.devices import Devices
from saccade.tasks.environment import describe_environment, fast_bfloat16

Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True)
class Split:
    """Which cases are learnt from and which are held out, by id."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def implementation_of(
    system: str, preset: str, network: Mapping[str, Any], task: str = "segmentation"
) -> Implementation:
    """What a system offers, with the preset checked; ``network`` has the settings that the user gave."""
    found = find_implementation(system, network, task)
    if preset not in found.PRESETS:
        raise unknown_name(system, "preset", preset, list(found.PRESETS))
    return found


def with_plan(config: Config, implementation: Implementation, device: str) -> Config:
    """The configuration with the network and the precision planned, and its loggers there.

    Args:
        config: With its data decided.
        implementation: The system's module.
        device: Kind of device it is for; decides the precision.

    Raises:
        InputError: If a setting of the network is wrong or a logger's package is missing.
    """
    training = config.training.model_copy(update={"precision": _plan_precision(config.training.precision, device)})
    config = config.model_copy(update={"network": _plan_network(config, implementation), "training": training})
    if "mlflow" in training.loggers:
        from saccade.tasks.loggers import need_mlflow

        need_mlflow(training.mlflow.tracking_uri)
    return config


def _plan_precision(asked: str, device: str) -> str:
    if asked != "auto":
        return asked
    return "bf16-mixed" if device != "mps" and fast_bfloat16(device) else "32-true"


def _plan_network(config: Any, implementation: Implementation) -> dict[str, Any]:
    """All settings of the network but those that follow from the data: channels and classes."""
    who = f"{config.system}: network"
    if given := set(SIZES) & set(config.network):
        raise InputError(f"{who}: {' and '.join(sorted(given))} must be left out, the data decides.")
    asked = implementation.Network.parse(config.network, who).model_dump(exclude_unset=True)
    planned = implementation.plan_network(config.data.model_dump(), asked)
    complete: dict[str, Any] = implementation.Network.parse(planned, who).model_dump(mode="json", exclude=set(SIZES))
    return complete


def split_cases(dataset: Any, split: Split) -> tuple[list[Any], list[Any]]:
    """Training and validation cases of a split that names them.

    Raises:
        InputError: If a case is on both sides, is not there, or there is nothing to learn of it.
    """
    if both := sorted({*split.train} & {*split.validation}):
        raise InputError(f"{dataset.root}: a case must be learnt from or held out, got both for {', '.join(both)}.")
    train, held_out = ([dataset.case(id) for id in ids] for ids in (split.train, split.validation))
    there = {case.id for case in dataset.labelled()}
    if bare := [case.id for case in (*train, *held_out) if case.id not in there]:
        raise InputError(f"{dataset.root}: each case of the split must have its truth, got none for {', '.join(bare)}.")
    return train, held_out


def choose_split(
    dataset: Any, deal: Callable[[Any, list[Any], int], list[list[str]]], *, fold: int, folds: int
) -> tuple[list[Any], list[Any]]:
    """Training and validation cases: as the data set says, else fold ``fold`` of ``folds`` is held out.

    Args:
        dataset: The data.
        deal: How the task deals cases out to folds.
        fold: Number of the fold, from 0.
        folds: How many there are.

    Raises:
        InputError: If there is no such fold, the data set has none, or there are fewer cases than folds.
    """
    labelled = [case for case in dataset.labelled() if case.split != "test"]
    if any(case.split == "validation" for case in labelled):
        if fold != 0:
            raise InputError(f"{dataset.root}: says itself which cases are held out; leave --fold {fold} out.")
        return [c for c in labelled if c.split != "validation"], [c for c in labelled if c.split == "validation"]
    if not 0 <= fold < folds:
        raise InputError(f"train: fold must be 0 to {folds - 1}, got {fold}.")
    held_out = set(deal(dataset, labelled, folds)[fold])
    return [c for c in labelled if c.id not in held_out], [c for c in labelled if c.id in held_out]


def describe_run(
    config: Any,
    run: Path,
    train: Sequence[Any],
    validation: Sequence[Any],
    devices: Devices,
    *,
    files: Mapping[str, Any],
) -> None:
    """Write environment.json, splits.json (with the hash of every file) and, when all else is there, config.yaml.

    Args:
        config: The run.
        run: Its folder.
        train: Cases to learn from.
        validation: Cases held out.
        devices: What it runs on.
        files: Of each case, where its files are and their SHA-256 by role.
    """
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
