"""Everything that is wrong with a data set of landmarks, found before a training run finds it."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from saccade.data.detection.check import SLACK, image_extent
from saccade.data.landmarks.case import LandmarkCase, LandmarkDataset, Point
from saccade.data.layout_case import Fault
from saccade.errors import InputError

Progress = Callable[[int, int, str], None]


def check_landmarks(dataset: LandmarkDataset, *, progress: Progress | None = None) -> list[Fault]:
    """All faults, in order of case and file; bad files are reported, never raised.

    Args:
        dataset: From `scan_landmark_dataset`.
        progress: Called after each case with (cases done, cases in all, case id).
    """
    faults = list(dataset.faults)
    for number, case in enumerate(dataset.cases, 1):
        faults += _of_case(case)
        if progress is not None:
            progress(number, len(dataset.cases), case.id)
    counts = _counts(dataset)
    for name in dataset.names:
        if not counts[name]:
            faults.append(Fault("", str(dataset.root), "empty landmark", f"{name} in some image", "in none"))
    if not dataset.labelled():
        faults.append(Fault("", str(dataset.root), "missing label", "a landmark in some images", "none"))
    return sorted(faults, key=lambda fault: (fault.case, fault.file, fault.kind))


def describe_landmarks(dataset: LandmarkDataset) -> str:
    """How many landmarks there are and which are missing how often, in one line."""
    counts = _counts(dataset)
    missing = {name: len(dataset.cases) - counts[name] for name in dataset.names if counts[name] < len(dataset.cases)}
    told = f"{len(dataset.names)} landmarks"
    if not missing:
        return f"{told}, all of them in every image"
    worst = sorted(missing, key=lambda name: (-missing[name], name))
    shown = ", ".join(f"{name} {missing[name]} times" for name in worst[:5])
    return f"{told}; missing: {shown}" + (f" and {len(worst) - 5} more" if len(worst) > 5 else "")


def _counts(dataset: LandmarkDataset) -> Counter[str]:
    return Counter(name for case in dataset.cases for name in case.points)


def _of_case(case: LandmarkCase) -> Iterator[Fault]:
    def fault(kind: str, expected: str, found: str) -> Fault:
        return Fault(case.id, str(case.source), kind, expected, found)  # type: ignore[arg-type]

    try:
        low, high = image_extent(case.source)
    except InputError as error:
        yield fault("unreadable", "an image", str(error).rstrip("."))
        return
    first: dict[Point, str] = {}
    for name, point in case.points.items():
        if len(point) != len(low):
            yield fault("channel count", f"{name}: {len(low)} coordinates, as the image has axes", f"{len(point)}")
            return
        place = np.array(point)
        if (place < low - SLACK).any() or (place > high + SLACK).any():
            yield fault("point outside", f"{name}: within {_shown(low)} to {_shown(high)}", _shown(point))
        if first.setdefault(point, name) != name:
            yield fault("duplicate point", f"{name}: another place than {first[point]}", _shown(point))
    for name in case.lines:
        if name not in case.points:
            yield fault("unknown point", f"a landmark on the line of {name}", "none")


def _shown(values: Point | np.ndarray) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
