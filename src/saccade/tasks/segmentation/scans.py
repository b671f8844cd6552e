"""Which scans paths stand for, and one scan out of its files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saccade.data.layouts import find_dataset
from saccade.data.volume import Volume, is_volume_file, read_volume, strip_suffix
from saccade.errors import InputError
from saccade.files import is_within

Scan = tuple[str, tuple[Path, ...]]


def find_scans(inputs: Sequence[Path], *, apart_from: Path | None = None) -> list[Scan]:
    """The scans that paths stand for: a file or a DICOM folder is one, any other folder holds some.

    Args:
        inputs: Files and folders.
        apart_from: A folder of results, which may lie within the inputs: nothing in it is a scan.

    Returns:
        (case, its files), in the order given.

    Raises:
        InputError: If a path does not exist, a folder holds no scan, two scans would have the same name, or a name
            cannot be that of a file.
    """
    scans: list[Scan] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder.")
        if path.is_file():
            scans.append((strip_suffix(path), (path,)))
        elif _holds_volumes(path, apart_from):
            cases = find_dataset(path).cases
            scans += [(case.id, case.images) for case in cases if not is_within(case.images[0], apart_from)]
        else:
            scans.append((path.resolve().name, (path,)))
    names = [name for name, _ in scans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"predict: every scan must have a name of its own, found '{twice[0]}' more than once.")
    for name in names:
        check_case_name(name)
    return scans


def check_case_name(name: str) -> None:
    """Refuse what would make a file somewhere else, or none.

    Raises:
        InputError: If the name is empty, ``.``, ``..``, or holds a slash, a backslash or a zero byte.
    """
    if name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise InputError(f"predict: a scan's name must be one that a file can have, without / and \\, got {name!r}.")


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


def scan_state(paths: Sequence[Path], *, apart_from: Path | None = None) -> str:
    """Changes when a scan's files do: a digest of their names, sizes and times, wherever they lie.

    Args:
        paths: The files; of a folder all that are visible in it.
        apart_from: A folder of results, which may lie within the scan's own.
    """
    files: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            visible = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
            own = (file for file in visible if not is_within(file, apart_from))
            files += sorted((file.relative_to(path).as_posix(), file) for file in own)
        else:
            files.append((path.name, path))
    told = [(name, (status := file.stat()).st_size, status.st_mtime_ns) for name, file in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _holds_volumes(folder: Path, apart_from: Path | None) -> bool:
    return any(
        is_volume_file(path) and path.is_file() and not is_within(path, apart_from) for path in folder.rglob("*")
    )
