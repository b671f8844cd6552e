"""Masks that lie beside what is explained: where the evidence is, or which region is asked about."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Num

from saccade.data.classification.read import PICTURES, is_picture, read_image
from saccade.data.volume import Volume, is_volume_file, read_volume, same_grid
from saccade.errors import InputError
from saccade.explain.boxes import box_of_map, box_of_mask, box_overlap
from saccade.explain.faithfulness import agreement_mm, energy_inside, pointing_game

LOCALISED = 0.5  # overlap of boxes from which on an object counts as found (ILSVRC)
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", *PICTURES)


def read_mask(path: Path, case: str, scan: Volume, *, flat: bool = False) -> Num[np.ndarray, "i j k"]:
    """The values of a mask on a scan's grid.

    Args:
        path: A file, or a folder with a file for each case (called like it, or like the last part of its name).
        case: Id.
        scan: What it lies on.
        flat: Whether that is a picture without a place in space.

    Raises:
        InputError: If there is no such file, it cannot be read, or lies on another grid.
    """
    file = _find(path, case)
    mask = Volume(read_image(file).array[..., :1], np.eye(4)) if is_picture(file) else read_volume(file)
    if mask.array.shape != scan.shape or not (flat or same_grid(mask, scan)):
        other = " with another affine" if mask.array.shape == scan.shape else ""
        raise InputError(f"{file}: must lie on the grid of case {case}, {scan.shape}, got {mask.array.shape}{other}.")
    return mask.array


def evidence_of(values: Num[np.ndarray, "*space"], value: int) -> Bool[np.ndarray, "*space"]:
    """Where a mask has a value; of a mask with a single value beside 0, wherever it is not 0.

    >>> evidence_of(np.array([0, 255, 255]), 1).tolist(), evidence_of(np.array([0, 1, 2]), 1).tolist()
    ([False, True, True], [False, True, False])
    """
    others = np.unique(values[values != 0])
    return values != 0 if others.size <= 1 else values == value


def localisation(
    map_: Num[np.ndarray, "*space"], evidence: Bool[np.ndarray, "*space"], spacing_mm: tuple[float, ...] | None
) -> Mapping[str, Any] | None:
    """How a map agrees with where the evidence is known to be; None where there is none.

    Args:
        map_: Signed.
        evidence: Mask.
        spacing_mm: Size of a voxel along each axis; None where there is none, then distances are in pixels.
    """
    if not evidence.any():
        return None
    overlap = box_overlap(box_of_map(map_), box_of_mask(evidence))
    distance = agreement_mm(map_, evidence, spacing_mm)
    return {
        "box_overlap": overlap,
        "localised": overlap >= LOCALISED,
        "pointing": pointing_game(map_, evidence),
        "energy_inside": energy_inside(map_, evidence),
        f"peak_to_evidence_{'mm' if spacing_mm else 'pixels'}": None if distance is None else distance.peak_mm,
    }


def _find(path: Path, case: str) -> Path:
    if path.is_file():
        return path
    for name in (case, Path(case).name):
        for suffix in _SUFFIXES:
            if (file := path / f"{name}{suffix}").is_file():
                return file
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder.")
    known = sorted(file.name for file in path.iterdir() if is_picture(file) or is_volume_file(file))
    there = f" It has {', '.join(known[:5])}{' ...' if len(known) > 5 else ''}." if known else ""
    raise InputError(f"{path}: must hold a mask called {Path(case).name}, holds none.{there}")
