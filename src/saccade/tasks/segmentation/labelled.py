"""Partially labelled cases in a training: which classes each of them can teach, and be scored by."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from saccade.data.layouts import Case, Dataset
from saccade.data.volume import Volume
from saccade.errors import InputError, unknown_name
from saccade.tasks.segmentation.config import SegmentationConfig


def with_labelled(config: SegmentationConfig, dataset: Dataset, cases: Sequence[Case]) -> SegmentationConfig:
    """The configuration with ``data.labelled`` as the data set declares it, where the user has not said otherwise.

    Args:
        config: The run; what it says of a case goes first.
        dataset: All cases.
        cases: Those to train on.

    Raises:
        InputError: If a case is none of the data set's, teaches no class that is to be learned, or no training case has
            labels of one of the classes.
    """
    classes, known = config.classes[1:], {case.id for case in dataset.cases}
    for name in config.data.labelled:
        if name not in known:
            raise unknown_name("data.labelled", "case", name, sorted(known))
    declared = {case.id: case.labelled for case in dataset.labelled() if case.labelled is not None}
    labelled: dict[str, tuple[int, ...]] = {}
    for name, values in {**declared, **config.data.labelled}.items():
        labelled[name] = tuple(value for value in classes if value in values)
        if not labelled[name]:
            wanted = ", ".join(config.data.label_names[value] for value in classes)
            raise InputError(f"case {name}: must have a class labelled that is learned ({wanted}). Leave it out.")
    labelled = {name: values for name, values in labelled.items() if len(values) < len(classes)}
    counts = _counts(config, labelled, [case.id for case in cases])
    if missing := [name for name, count in counts.items() if not count]:
        raise InputError(
            f"{dataset.root}: each class must be labelled in a training case, {', '.join(missing)} is in none. "
            "Leave it out of data.label_names, or take another split."
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"labelled": labelled})})


def labelled_line(config: SegmentationConfig, cases: Sequence[Case]) -> str:
    """In how many of the training cases each class is labelled."""
    counts = _counts(config, config.data.labelled, [case.id for case in cases])
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{len(cases)} cases to train on, of which have labels of {shown}"


def labelled_classes(config: SegmentationConfig, case: Case) -> Bool[Tensor, "classes"]:
    """Which of a run's classes, background first, were labelled in a case."""
    values = config.data.labelled.get(case.id)
    return torch.tensor([value == 0 or values is None or value in values for value in config.classes])


def known_labels(config: SegmentationConfig, case: Case, label: Volume) -> Volume:
    """A label map with nothing but classes that were labelled in the case: traces of others are background there."""
    values = config.data.labelled.get(case.id)
    return label if values is None else label.like(np.where(np.isin(label.array, values), label.array, 0))


def _counts(config: SegmentationConfig, labelled: dict[str, tuple[int, ...]], cases: Sequence[str]) -> dict[str, int]:
    """Class -> in how many of the cases it is labelled."""
    classes = config.classes[1:]
    each = [labelled.get(case, classes) for case in cases]
    return {config.data.label_names[value]: sum(value in values for values in each) for value in classes}
