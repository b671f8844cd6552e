"""Predictions as files: label maps by case, attention maps, label descriptions, a table of volumes."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from saccade.data.labels import write_label_descriptions
from saccade.data.layouts import find_dataset
from saccade.data.volume import Volume, is_volume_file, read_volume, strip_suffix, write_volume
from saccade.errors import InputError
from saccade.files import atomic
from saccade.tasks.segmentation.predictor import SegmentationPredictor

MM3_PER_ML = 1000.0
Scan = tuple[str, tuple[Path, ...]]
Progress = Callable[[str, int, int, int], None]


def find_scans(inputs: Sequence[Path]) -> list[Scan]:
    """The scans that paths stand for: a file or a DICOM folder is one, any other folder holds some.

    Returns:
        (case, its files), in the order given.

    Raises:
        InputError: If a path does not exist, a folder holds no scan, or two scans would have the same name.
    """
    scans: list[Scan] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder.")
        if path.is_file():
            scans.append((strip_suffix(path), (path,)))
        elif _holds_volumes(path):
            scans += [(case.id, case.images) for case in find_dataset(path).cases]
        else:
            scans.append((path.name, (path,)))
    names = [name for name, _ in scans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"predict: every scan must have a name of its own, found '{twice[0]}' more than once.")
    return scans


def predict_scans(
    predictor: SegmentationPredictor,
    scans: Sequence[Scan],
    out: Path,
    *,
    attention: bool = False,
    progress: Progress | None = None,
) -> Iterator[Path]:
    """Segment scans one after the other; each result appears whole, and one bad scan stops the rest only at its turn.

    Args:
        predictor: A trained network.
        scans: From `find_scans`.
        out: Folder; gets ``<case>.nii.gz`` (or what the run's file_pattern says), ``volumes.csv``,
            ``attention/<case>_<gate>.nii.gz`` and ``labels.*``, descriptions for viewers.
        attention: Whether maps are written.
        progress: Called with (case, windows done, windows in all, scans finished).

    Yields:
        The label file of each scan.

    Raises:
        InputError: If a scan cannot be used, or maps are wanted of a network that has none.
    """
    if attention and not predictor.attends:
        raise InputError(f"predict: {predictor.config.system} has no attention maps to write; leave --attention out.")
    rows: dict[str, dict[str, float]] = {}
    names = predictor.config.data.label_names
    for finished, (case, paths) in enumerate(scans):
        volume = read_channels(paths)
        report = None if progress is None else _Report(progress, case, finished)
        found = predictor.segment(volume, attention=attention, progress=report)
        for gate, map_ in found.attention.items():
            write_volume(map_, out / "attention" / f"{case}_{gate}.nii.gz")
        result = out / predictor.config.inference.file_pattern.format(case=case)
        write_volume(found.labels, result)
        rows[case] = organ_volumes_ml(found.labels, names)
        if finished == 0:
            write_label_descriptions(names, out / "labels")
        _write_volumes(rows, out / "volumes.csv")
        yield result


def read_channels(paths: Sequence[Path]) -> Volume:
    """One scan from its files, one per channel."""
    volumes = [read_volume(path) for path in paths]
    if len(volumes) == 1:
        return volumes[0]
    first = volumes[0]
    for volume, path in zip(volumes, paths, strict=True):
        if volume.array.shape != first.array.shape:
            raise InputError(
                f"{path}: must have the shape of {paths[0]}, {first.array.shape}, got {volume.array.shape}."
            )
    return first.like(np.stack([volume.array for volume in volumes], -1))


def organ_volumes_ml(labels: Volume, names: dict[int, str]) -> dict[str, float]:
    """Volume of each organ in millilitres; 0 where it was not found."""
    voxel_ml = float(abs(np.linalg.det(labels.affine[:3, :3]))) / MM3_PER_ML
    counts = np.bincount(labels.array.ravel(), minlength=max(names, default=0) + 1)
    return {name: round(float(counts[value]) * voxel_ml, 4) for value, name in names.items()}


class _Report:
    def __init__(self, progress: Progress, case: str, finished: int) -> None:
        self.progress, self.case, self.finished = progress, case, finished

    def __call__(self, done: int, windows: int) -> None:
        self.progress(self.case, done, windows, self.finished)


def _write_volumes(rows: dict[str, dict[str, float]], path: Path) -> None:
    organs = list(next(iter(rows.values())))
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", *(f"{organ} (ml)" for organ in organs)])
        writer.writerows([case, *(volumes[organ] for organ in organs)] for case, volumes in rows.items())


def _holds_volumes(folder: Path) -> bool:
    return any(is_volume_file(path) for path in folder.rglob("*") if path.is_file())
