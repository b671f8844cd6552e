"""The tasks, in one table: what a kind of problem must bring so that its runs begin, go on and are opened like any."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from saccade.errors import unknown_name
from saccade.systems import Implementation, find_system, is_own
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.config import RunConfig
from saccade.tasks.devices import Devices
from saccade.tasks.fitting import Job, Say

TASKS = {
    "segmentation": "saccade.tasks.segmentation.task",
    "classification": "saccade.tasks.classification.task",
    "detection": "saccade.tasks.detection.task",
    "landmarks": "saccade.tasks.landmarks.task",
}


@runtime_checkable
class Task(Protocol):
    """What a task's module offers."""

    @property
    def Config(self) -> type[RunConfig]:
        """A run's settings."""

    def open_dataset(self, data: Path | str, settings: Mapping[str, Any]) -> Any:
        """The data set, as the ``data`` part of the user's settings wants it."""

    def deal(self, dataset: Any, cases: list[Any], folds: int) -> list[list[str]]:
        """Ids of cases dealt out to folds."""

    def describe_case(self, case: Any) -> dict[str, Any]:
        """Where a case's files are, and under ``sha256`` what proves that they are the same."""

    def plan(
        self,
        system: str,
        dataset: Any,
        cases: list[Any],
        *,
        preset: str,
        overrides: Mapping[str, Any],
        implementation: Implementation,
        device: str,
    ) -> Any:
        """The configuration: the preset, then what the data decides, then what the user says.

        Args:
            system: Name.
            dataset: The data.
            cases: Training cases; nothing else is looked at.
            preset: One of the system's.
            overrides: Nested values that win.
            implementation: The system's module.
            device: Kind of device it is for; decides the precision.

        Raises:
            InputError: If the system cannot be trained on this or so.
        """

    def plan_line(self, config: Any) -> str:
        """What was decided, in a line."""

    def sizes(self, config: Any) -> tuple[int, int]:
        """Channels that the network takes and gives."""

    def fit(
        self, job: Job, network: nn.Module, *, devices: Devices, rank: int, say: Say
    ) -> tuple[Keeper, TrainingClock]:
        """One process's part of the training; process 0 checks, speaks and writes the files."""

    def finish(self, job: Job, network: nn.Module, *, device: str, say: Say) -> tuple[Any, dict[str, Any]]:
        """With the kept weights, predict and score the held-out cases: the predictor, and scores for the summary."""

    def make_predictor(self, network: nn.Module, config: Any, run: Path, *, device: str) -> Any:
        """What applies a trained network; ``run`` has what else belongs to it."""


def find_task(name: str) -> Task:
    """A task's module.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in TASKS:
        raise unknown_name("saccade", "task", name, list(TASKS))
    return importlib.import_module(TASKS[name])  # type: ignore[return-value]


def task_of(system: str, data: Path | str, asked: str | None = None) -> str:
    """The task that a system is trained for: its own, or for a network of the user's own what the data looks like.

    Args:
        system: Its name.
        data: The data set.
        asked: What the user says; must be the system's own where it has one.

    Raises:
        InputError: If the names do not fit.
    """
    if asked is not None:
        find_task(asked)
    if not is_own(system):
        own = find_system(system).task
        if asked not in (None, own):
            from saccade.errors import InputError

            raise InputError(f"{system}: is a system for {own}, got --task {asked}. Leave it out.")
        return own
    if asked is not None:
        return asked
    from saccade.data.classification.layouts import is_image_dataset
    from saccade.data.landmarks.layouts import is_landmark_dataset

    if is_landmark_dataset(data):
        return "landmarks"
    return "classification" if is_image_dataset(data) else "segmentation"
