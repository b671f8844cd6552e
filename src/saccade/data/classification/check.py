"""Everything that is wrong with a data set of images and targets, found before a training run finds it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from saccade.data.classification.case import Case, ImageDataset
from saccade.data.classification.read import read_image
from saccade.data.classification.targets import MOST_CLASSES, Kind, as_number, kind_of
from saccade.data.layout_case import Fault
from saccade.errors import InputError

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Seen:
    """What is kept of an image after its values are gone."""

    case: Case
    axes: int
    digest: bytes


def check_images(dataset: ImageDataset, *, kind: Kind | None = None, progress: Progress | None = None) -> list[Fault]:
    """All faults, in order of case and file; bad files are reported, never raised.

    Args:
        dataset: From `scan_image_dataset`.
        kind: What the targets are; None for what they look like.
        progress: Called after each case with (cases done, cases in all, case id).
    """
    faults, seen = list(dataset.faults), []
    for number, case in enumerate(dataset.cases, 1):
        try:
            image = read_image(case.source)
        except InputError as error:
            found = str(error).rstrip(".")
            if "finite numbers" in found:
                faults.append(Fault(case.id, str(case.source), "not finite", "an image", found))
            else:
                faults.append(Fault(case.id, str(case.source), "unreadable", "an image", found))
        else:
            if image.array.min() == image.array.max():
                found = f"all are {image.array.flat[0]}"
                faults.append(Fault(case.id, str(case.source), "constant image", "values that differ", found))
            shape = f"{image.array.shape} {image.array.dtype.str} "
            digest = hashlib.blake2b(shape.encode() + np.ascontiguousarray(image.array).tobytes()).digest()
            seen.append(_Seen(case, len(image.space), digest))
        if progress is not None:
            progress(number, len(dataset.cases), case.id)
    faults += _repeated(seen) + _mixed_axes(seen) + _of_targets(dataset, kind)
    return sorted(faults, key=lambda fault: (fault.case, fault.file, fault.kind))


def _repeated(seen: Sequence[_Seen]) -> list[Fault]:
    """Images that are another case's, value for value: held out and trained on at once, or of two classes."""
    first: dict[bytes, Case] = {}
    faults = []
    for one in seen:
        original = first.setdefault(one.digest, one.case)
        if original is not one.case:
            differs = f", which is {', '.join(original.values)}" if original.values != one.case.values else ""
            found = f"the values of case {original.id}{differs}"
            faults.append(Fault(one.case.id, str(one.case.source), "duplicate case", "an image of its own", found))
    return faults


def _mixed_axes(seen: Sequence[_Seen]) -> list[Fault]:
    most = Counter(one.axes for one in seen).most_common(1)
    return [
        Fault(one.case.id, str(one.case.source), "channel count", f"{most[0][0]} axes, as most have", f"{one.axes}")
        for one in seen
        if one.axes != most[0][0]
    ]


def _of_targets(dataset: ImageDataset, asked: Kind | None) -> list[Fault]:
    labelled, root = dataset.labelled(), str(dataset.root)
    if not labelled:
        return [Fault("", root, "missing label", "a target for some images", "none")]
    try:
        kind = asked or kind_of(dataset.columns, labelled, root)
    except InputError as error:
        return [Fault("", root, "unknown target", "targets of one kind", str(error).rstrip("."))]
    faults = []
    for number, column in enumerate(dataset.columns):
        given = [(case, case.values[number]) for case in labelled if case.values[number]]
        values = Counter(value for _, value in given)
        if kind in ("regression", "multi_label"):
            expected = "a number" if kind == "regression" else "0 or 1"
            for case, value in given:
                number_of = as_number(value)
                if number_of is None or (kind == "multi_label" and number_of not in (0, 1)):
                    where = f"{column}: {expected}"
                    faults.append(Fault(case.id, str(case.source), "unknown target", where, value))
        else:
            learnt = {case.values[number] for case in labelled if case.split in (None, "train")}
            for case, value in given:
                if case.split in ("validation", "test") and value not in learnt:
                    expected = f"a class of the training cases ({', '.join(sorted(learnt)[:8])})"
                    faults.append(Fault(case.id, str(case.source), "unknown target", expected, value))
            if len(values) > MOST_CLASSES:
                faults.append(Fault("", root, "unknown target", f"at most {MOST_CLASSES} classes", f"{len(values)}"))
        if len(values) < 2:
            found = ", ".join(values) or "none"
            faults.append(Fault("", root, "single class", f"{column}: at least two values", found))
    return faults


def describe_targets(dataset: ImageDataset) -> str:
    """How often each class is there, in one line; empty where the targets are no classes."""
    labelled = dataset.labelled()
    if len(dataset.columns) != 1 or not labelled:
        return ", ".join(dataset.columns)
    counts = Counter(case.values[0] for case in labelled)
    if len(counts) > 20:
        return f"{dataset.columns[0]}: {len(counts)} values"
    return ", ".join(f"{value} {count}" for value, count in sorted(counts.items()))
