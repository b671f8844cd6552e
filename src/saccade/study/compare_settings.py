"""What makes a comparison fair: one budget for all, and nothing chosen on the cases that are the test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.errors import InputError, unknown_name
from saccade.runs import SECTIONS
from saccade.tasks import begin
from saccade.tasks.settings import merge
from saccade.tasks.task import find_task, task_of

NEVER = 100_000  # epochs: no run has as many


def check_settings(
    systems: Sequence[str], preset: str, settings: Mapping[str, Any], task: str = "segmentation"
) -> dict[str, Any]:
    """The settings that all trainings share, with what a fair comparison needs.

    Nothing is chosen on the held-out cases: the latest weights are kept, and no validation is made on the way unless
    asked for. A budget of seconds is not ended early by the preset's epochs.

    Args:
        systems: Their names.
        preset: Of each of them.
        settings: Nested, as in ``config.yaml``.
        task: Of all of them.

    Raises:
        InputError: If a name or value is wrong, a system is named twice, the held-out cases would choose, or the
            budgets differ.
    """
    if not systems:
        raise InputError("compare: must have at least one system.")
    if twice := [system for system in dict.fromkeys(systems) if systems.count(system) > 1]:
        raise InputError(f"compare: each system must be named once, got {twice[0]} again.")
    for name, values in settings.items():
        if name not in SECTIONS:
            raise unknown_name("compare", "section", name, list(SECTIONS))
        if not isinstance(values, Mapping):
            raise InputError(f"compare: {name}: must hold named settings, got {values!r}.")
    given = settings.get("training", {})
    if given.get("keep", "last") != "last" or given.get("patience") is not None:
        raise InputError(
            "compare: the held-out cases are the test and may choose nothing; "
            "leave training.keep at last and training.patience unset."
        )
    fair: dict[str, Any] = {"keep": "last", "patience": None, "validate_every": NEVER}
    if given.get("max_seconds") is not None:
        fair["epochs"] = NEVER
    shared: dict[str, Any] = {"training": fair}
    if task == "classification":  # the temperature would be fitted to the test
        if settings.get("inference", {}).get("calibrate"):
            raise InputError("compare: the held-out cases are the test and may choose nothing; leave calibrate out.")
        shared["inference"] = {"calibrate": False}
    complete = merge(shared, settings)
    for section in ("augmentation", "inference"):
        _model(task, section).parse(complete.get(section, {}), f"compare: {section}")
    budgets = {system: _budget(system, preset, complete, task) for system in systems}
    if len(set(budgets.values())) > 1:
        shown = "; ".join(f"{system}: {budget}" for system, budget in budgets.items())
        raise InputError(
            f"compare: all systems must have the same budget, preset {preset} gives {shown}. "
            "Set training.max_seconds, or training.epochs, training.steps_per_epoch and training.batch_size."
        )
    return complete


def task_of_all(systems: Sequence[str], data: Path | str) -> str:
    """The task that the systems have in common.

    Raises:
        InputError: If there is none of that name, or they have different ones.
    """
    tasks = {system: task_of(system, data) for system in systems}
    if len(set(tasks.values())) > 1:
        shown = ", ".join(f"{system} ({task})" for system, task in tasks.items())
        raise InputError(f"compare: all systems must be of one task, got {shown}.")
    return next(iter(tasks.values()), "segmentation")


def _model(task: str, section: str) -> Any:
    """The settings of a section."""
    return find_task(task).Config.model_fields[section].annotation


def _budget(system: str, preset: str, settings: Mapping[str, Any], task: str) -> str:
    implementation = begin.implementation_of(system, preset, settings.get("network", {}), task)
    chosen = implementation.PRESETS[preset].get("training", {})
    training = _model(task, "training").parse(merge(chosen, settings["training"]), f"{system}: training")
    if training.max_seconds is not None:
        return f"{training.max_seconds:g} seconds"
    steps = "every case once" if training.steps_per_epoch is None else f"{training.steps_per_epoch} steps"
    return f"{training.epochs} epochs of {steps} in batches of {training.batch_size}"
