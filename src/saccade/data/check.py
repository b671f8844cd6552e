"""Find everything that is wrong with a data set before a training run does, and repair what is safe to repair."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saccade.data.dicom import GeometryWarning
from saccade.data.layout_case import Case, Dataset, Fault
from saccade.data.layout_read import read_case
from saccade.data.layouts import scan_dataset
from saccade.data.volume import Volume, read_grid, read_volume, write_volume
from saccade.errors import InputError

Progress = Callable[[int, int, str], None]

# Air and fat are below this in CT; no MR sequence, mask or rescaled image gets there.
_HOUNSFIELD_BELOW = -100.0
# How far a case's intensities may lie from the nearest other case where units are free (MR scanners choose theirs).
_LARGEST_RATIO = 30.0
_ENOUGH_CASES = 4


@dataclass(frozen=True)
class _Seen:
    """What is kept of a case after its voxels are gone."""

    case: Case
    channels: int
    low: float
    high: float
    digest: bytes
    usable: bool


def check_dataset(
    root: Path | str,
    label_names: Mapping[int, str] | None = None,
    fix: bool = False,
    progress: Progress | None = None,
) -> list[Fault]:
    """All faults of a data set, in order of case and file; bad files are reported, never raised.

    Args:
        root: A folder or list file in any supported layout.
        label_names: Foreground classes, value -> name; default what the folder says. Unknown: values are not checked.
        fix: Give labels whose affine differs from the image's by less than 1e-3 the image's affine, atomically. Such
            faults come back with ``fixed`` set. Nothing else is ever written.
        progress: Called after each case with (cases done, cases in all, case id).

    Raises:
        InputError: If there is nothing at ``root`` or no layout fits.
    """
    return check_cases(scan_dataset(root, label_names), fix=fix, progress=progress)


def check_cases(dataset: Dataset, *, fix: bool = False, progress: Progress | None = None) -> list[Fault]:
    """As `check_dataset`, for a data set that `scan_dataset` has found."""
    faults, seen = list(dataset.faults), []
    for number, case in enumerate(dataset.cases, 1):
        found, summary = _check_case(case, dataset.label_names)
        faults += [_fixed(case, fault) if fix and fault.fixable else fault for fault in found]
        if summary is not None:
            seen.append(summary)
        if progress is not None:
            progress(number, len(dataset.cases), case.id)
    faults += _channel_faults(seen, len(dataset.channel_names), {f.case for f in faults if f.kind == "channel count"})
    faults += _repeated(seen)
    faults += _unlike([one for one in seen if one.usable])
    faults += _never_labelled(dataset)
    return sorted(faults, key=lambda fault: (fault.case, fault.file, fault.kind))


def _check_case(case: Case, names: dict[int, str]) -> tuple[list[Fault], _Seen | None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GeometryWarning)
        image, label, faults = read_case(case)
    for warning in caught:
        if issubclass(warning.category, GeometryWarning):
            text = str(warning.message).removeprefix(f"{case.images[0]}: ").rstrip(".")
            faults.append(Fault(case.id, str(case.images[0]), "DICOM series", "evenly spaced, upright slices", text))
    if label is not None and names:
        values = np.unique(label.array)
        unknown = [int(value) for value in values if value and int(value) not in names]
        if unknown:
            expected, found = f"0 and {_spans(sorted(names))}", _spans(unknown)
            faults.append(Fault(case.id, str(case.label), "label value", expected, found))
    if label is not None and case.labelled is not None:
        others = [int(value) for value in np.unique(label.array) if value and int(value) not in case.labelled]
        if others:  # they are taken for background
            expected = f"voxels of the classes declared labelled, {_named(case.labelled, names)}"
            faults.append(Fault(case.id, str(case.label), "unlabelled class", expected, _named(others, names)))
    if image is None:
        return faults, None
    usable = not any(fault.kind in ("not finite", "constant image") for fault in faults)
    return faults, _summary(case, image, usable)


def _summary(case: Case, image: Volume, usable: bool) -> _Seen:
    array = np.ascontiguousarray(image.array)
    digest = hashlib.blake2b(str((array.shape, array.dtype)).encode())
    digest.update(array.data)
    low = high = 0.0
    if usable:
        some = array.ravel()[:: max(1, array.size // 100_000)].astype(np.float64)
        low, high = (float(value) for value in np.percentile(some / 2, (1, 99)) * 2)  # differences stay finite
    return _Seen(case, image.channels, low, high, digest.digest(), usable)


def _fixed(case: Case, fault: Fault) -> Fault:
    """Write the label again with the image's affine; the voxels and the rest of its header stay."""
    if case.label is None:
        return fault
    try:
        affine = read_grid(case.images[0])[1]
        write_volume(replace(read_volume(case.label), affine=affine), case.label)
    except (OSError, InputError) as error:
        return replace(fault, found=f"{fault.found}, and could not be fixed ({str(error).rstrip('.')})")
    return replace(fault, fixed=True)


def _channel_faults(seen: list[_Seen], declared: int, known: set[str]) -> list[Fault]:
    """Cases with another number of channels than declared, or than most have."""
    if not seen:
        return []
    expected = declared or Counter(one.channels for one in seen).most_common(1)[0][0]
    return [
        Fault(
            one.case.id,
            str(one.case.images[0]),
            "4D" if expected == 1 else "channel count",
            f"{expected} channel(s)",
            f"{one.channels}",
        )
        for one in seen
        if one.channels != expected and one.case.id not in known
    ]


def _repeated(seen: list[_Seen]) -> list[Fault]:
    """Scans that are voxel for voxel another case's: held out and trained on at once."""
    first: dict[bytes, Case] = {}
    faults = []
    for one in seen:
        original = first.setdefault(one.digest, one.case)
        if original is not one.case and one.usable:
            found = f"the voxels of case {original.id}"
            faults.append(Fault(one.case.id, str(one.case.images[0]), "duplicate case", "a scan of its own", found))
    return faults


def _unlike(seen: list[_Seen]) -> list[Fault]:
    """Cases whose intensities are of another kind than most: CT among MR, or on a scale that no other case has."""
    hounsfield = {one.case.id: one.low < _HOUNSFIELD_BELOW for one in seen}
    mostly = sum(hounsfield.values()) * 2 > len(seen)
    odd = [one for one in seen if hounsfield[one.case.id] != mostly]
    expected = "Hounsfield units like most cases" if mostly else "no Hounsfield units, like most cases"
    alike = [one for one in seen if one not in odd]
    faults = [_range_fault(one, expected) for one in odd]
    if len(alike) < _ENOUGH_CASES:
        return faults
    order = sorted(alike, key=lambda one: one.high - one.low)
    spread = [max(one.high - one.low, float(np.finfo(np.float32).tiny)) for one in order]
    for index, one in enumerate(order):
        near = spread[max(0, index - 1) : index] + spread[index + 1 : index + 2]
        if all(max(other / spread[index], spread[index] / other) > _LARGEST_RATIO for other in near):
            lowest = min(other.low for other in alike if other is not one)
            highest = max(other.high for other in alike if other is not one)
            faults.append(_range_fault(one, f"a scale like the others' ({lowest:.4g} to {highest:.4g})"))
    return faults


def _range_fault(one: _Seen, expected: str) -> Fault:
    found = f"{one.low:.4g} to {one.high:.4g} (1st to 99th percentile)"
    return Fault(one.case.id, str(one.case.images[0]), "intensity range", expected, found)


def _never_labelled(dataset: Dataset) -> list[Fault]:
    """Classes that no case has labelled; only where it was declared which are."""
    labelled = [case.labelled for case in dataset.labelled()]
    if not labelled or None in labelled:
        return []
    never = [value for value in dataset.label_names if not any(value in (values or ()) for values in labelled)]
    found = f"none with {_named(never, dataset.label_names)}"
    return [Fault("", str(dataset.root), "unlabelled class", "a case for every class", found)] if never else []


def _named(values: Sequence[int], names: Mapping[int, str]) -> str:
    return ", ".join(names.get(value, str(value)) for value in values)


def _spans(values: list[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"."""
    spans: list[list[int]] = []
    for value in values:
        if spans and value == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], value]
        else:
            spans.append([value])
    return ", ".join("-".join(str(end) for end in span) for span in spans)
