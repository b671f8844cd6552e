"""What a study consists of: splits of the cases, trainings in order, and the arms whose scores are compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saccade.data.classification.case import Case as ImageCase
from saccade.data.classification.case import ImageDataset
from saccade.data.detection.case import BoxDataset, Scene
from saccade.data.layouts import Case, Dataset
from saccade.systems import find_system, is_own
from saccade.tasks.begin import Split
from saccade.tasks.task import find_task

AnyDataset = Dataset | ImageDataset | BoxDataset
DATA = "data"  # how a study calls the data set that its scores are about


@dataclass(frozen=True)
class Part:
    """A split of one of the study's data sets.

    Attributes:
        data: Which data set.
        split: Its cases.
    """

    data: str
    split: Split


@dataclass(frozen=True)
class Train:
    """One training; its held-out cases are predicted and scored at its end.

    Attributes:
        name: Of its folder.
        system: What is trained.
        part: The name of the split.
        seed: Added to the study's own.
        after: The training whose weights and preparation it starts from.
    """

    name: str
    system: str
    part: str
    seed: int
    after: str | None = None


@dataclass(frozen=True)
class Transfer:
    """The network of another training, as it is, on the held-out cases of a split.

    Attributes:
        name: Of its folder.
        of: The training.
        part: The name of the split.
    """

    name: str
    of: str
    part: str


@dataclass(frozen=True)
class Arm:
    """One side of comparisons.

    Attributes:
        name: As tables show it.
        system: What was trained.
        steps: For each seed the steps whose held-out cases together are all cases.
    """

    name: str
    system: str
    steps: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        datasets: Name -> data set.
        labels: Name of a data set -> the classes that count, where they are not all.
        parts: Name of a split -> the split.
        steps: What is to be done, in order.
        arms: What is compared.
        pairs: Which arm is held against which.
        notes: What a reader has to know.
    """

    datasets: Mapping[str, AnyDataset]
    parts: Mapping[str, Part]
    steps: Sequence[Train | Transfer]
    arms: Sequence[Arm]
    pairs: Sequence[tuple[str, str]]
    labels: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def plan_folds(
    dataset: AnyDataset, systems: Sequence[str], *, task: str, folds: int, first_folds: int, seeds: int
) -> Plan:
    """Every system on every fold, fold by fold.

    Args:
        dataset: The data.
        systems: Their names.
        task: Theirs.
        folds: How many parts the cases are dealt out to; each is held out once.
        first_folds: How many of them are done.
        seeds: Trainings of each system on each fold.

    Raises:
        InputError: If there are fewer cases than folds.
    """
    cases, notes = usable_cases(dataset)
    held_out = find_task(task).deal(dataset, cases, folds)
    parts = {f"fold{number}": Part(DATA, rest_of(cases, ids)) for number, ids in enumerate(held_out)}
    done = list(parts)[:first_folds]
    if first_folds < folds:
        notes.append(f"{first_folds} of {folds} folds: {sum(len(ids) for ids in held_out[:first_folds])} cases scored.")
    steps = [
        Train(step_name(system, part, seed), system, part, seed)
        for seed in range(seeds)
        for part in done
        for system in systems
    ]
    arms = [
        Arm(system, system, tuple(tuple(step_name(system, part, seed) for part in done) for seed in range(seeds)))
        for system in systems
    ]
    return Plan({DATA: dataset}, parts, steps, arms, pairs_of(systems), notes=notes)


def usable_cases(dataset: AnyDataset) -> tuple[list[Any], list[str]]:
    """The labelled cases that are not set apart for a test, and what is to be said of marks in the data set."""
    cases, notes = [case for case in dataset.labelled() if case.split != "test"], []
    if apart := len(dataset.labelled()) - len(cases):
        notes.append(f"{dataset.root}: {apart} labelled case(s) that the data set marks as test are left out.")
    if any(case.split == "validation" for case in cases):
        notes.append(f"{dataset.root}: the data set's own marks for validation are not used; the study deals anew.")
    return cases, notes


def rest_of(cases: Sequence[Case | ImageCase | Scene], held_out: Sequence[str]) -> Split:
    """The split that holds these cases out and learns from all others."""
    return Split(tuple(case.id for case in cases if case.id not in held_out), tuple(sorted(held_out)))


def step_name(system: str, part: str, seed: int) -> str:
    """The folder of a step; a network of the user's own has a colon in its name."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', system)}-{part}-seed{seed}"


def pairs_of(systems: Sequence[str]) -> list[tuple[str, str]]:
    """Each system beside the one that it is held against: its own control if that is there, else the first.

    Where the first one's own control is there, that takes its place.

    >>> pairs_of(["attention-unet", "unet", "homework-unet-3d"])
    [('attention-unet', 'unet'), ('homework-unet-3d', 'unet')]
    """
    first, passed = systems[0], {systems[0]}
    while (control := _control(first)) in systems and control not in passed:
        first = control
        passed.add(first)
    others = [system for system in systems if system != first]
    return [(system, control if (control := _control(system)) in systems else first) for system in others]


def _control(system: str) -> str:
    return "" if is_own(system) else find_system(system).control
