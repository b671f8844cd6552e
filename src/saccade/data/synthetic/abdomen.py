"""Simulated contrast CT abdomens with the 13 labelled organs of BTCV, to try everything with before real scans."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from saccade.data.layout_labels import BTCV_LABELS
from saccade.data.synthetic.anatomy import draw_body, load_atlas, near_normal, stream
from saccade.data.synthetic.hospitals import HOSPITALS, Hospital
from saccade.data.synthetic.organs import draw_organs
from saccade.data.synthetic.paint import Canvas, paint_structure
from saccade.data.synthetic.shapes import rotation
from saccade.data.synthetic.trunk import paint_spine, paint_trunk
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError, unknown_name
from saccade.files import write_json
from saccade.workers import cores, run_jobs

SIZES = ("small", "full")
AIR_HU = -500  # below it is no body, and an offset does not reach it
OBLIQUE_CHANCE, OBLIQUE_DEGREES = 0.35, 10.0
SPINE_BEFORE = "right adrenal gland"  # painted over the soft organs, under the vessels on it
ORIENTATIONS = (  # axis order and directions relative to RAS, and how often of 10
    ((0, 1, 2), (1, 1, 1), 5),
    ((0, 1, 2), (-1, -1, 1), 3),
    ((0, 1, 2), (-1, 1, 1), 1),
    ((2, 1, 0), (1, -1, -1), 1),
)


def make(
    out: Path,
    *,
    cases: int,
    seed: int,
    progress: Callable[[int, int], Any] | None = None,
    size: str = "small",
    hospital: str = "a",
) -> list[str]:
    """`make_abdomen` on all cores, as a kind of `saccade data make`."""
    return make_abdomen(out, cases, seed, size, hospital, progress, workers=cores())


def make_abdomen(
    out: Path | str,
    cases: int,
    seed: int,
    size: str = "small",
    hospital: str = "a",
    progress: Callable[[int, int], Any] | None = None,
    workers: int = 1,
) -> list[str]:
    """Write simulated abdomens as a BTCV data set: ``Training/img``, ``Training/label`` and ``labels.json``.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1. A case does not depend on how many there are.
        seed: 0 or more; another seed gives other patients.
        size: "small" (about 96 x 96 x 54 voxels) or "full" (256 x 256 x 118), of the same patients.
        hospital: "a", or "b" with slighter patients, weaker contrast, more noise and thicker slices; see `Hospital`.
        progress: Called with (cases done, cases) after each.
        workers: Most processes at a time; a script that asks for more than 1 must have `if __name__ == "__main__":`.

    Returns:
        The ids of the cases: img0001, img0002, ...

    Raises:
        InputError: If a number is too small, or the size or hospital unknown.
    """
    if cases < 1:
        raise InputError(f"make_abdomen: cases must be 1 or more, got {cases}.")
    _check(seed, 1, size, hospital)
    jobs = {f"img{case:04d}": (Path(out) / "Training", case, seed, size, hospital) for case in range(1, cases + 1)}
    for done, _ in enumerate(run_jobs(_write_case, jobs, workers=workers), 1):
        if progress:
            progress(done, cases)
    write_json(Path(out) / "labels.json", {str(number): name for number, name in BTCV_LABELS.items()})
    return list(jobs)


def _write_case(job: tuple[Path, int, int, str, str]) -> None:
    folder, case, seed, size, hospital = job
    image, label, affine = simulate_abdomen(seed, case, size, hospital)
    write_volume(Volume(image, affine), folder / "img" / f"img{case:04d}.nii.gz")
    write_volume(Volume(label, affine), folder / "label" / f"label{case:04d}.nii.gz")


def simulate_abdomen(
    seed: int, case: int, size: str = "small", hospital: str = "a"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One simulated portal-venous CT of an abdomen; see `make_abdomen` for the choices.

    Returns:
        HU (int16), labels (uint8, BTCV numbers) of the same shape (i, j, k), and the 4x4 affine to RAS mm.

    Raises:
        InputError: If seed or case is negative, or the size or hospital unknown.

    Example:
        >>> image, label, affine = simulate_abdomen(seed=0, case=1)
        >>> image.shape == label.shape, int(label.max())
        (True, 13)
    """
    _check(seed, case, size, hospital)
    place, body = HOSPITALS[hospital], draw_body(seed, case)
    body = replace(body, size=body.size * np.array(place.stature))
    affine, shape, table_mm = _draw_grid(seed, case, size, place.voxel)
    canvas = Canvas.of(body, affine, shape)
    paint_trunk(canvas, body)
    for structure in draw_organs(seed, case):
        if structure.name == SPINE_BEFORE:
            paint_spine(canvas, body)
        paint_structure(canvas, structure, body.hu["fat"])
    image = _scan(canvas.hu, place, stream(seed, case, f"noise {size}"))
    affine[:3, 3] += table_mm
    return _reorient(image, canvas.label, affine, stream(seed, case, "orientation"))


def _check(seed: int, case: int, size: str, hospital: str) -> None:
    if seed < 0 or case < 0:
        raise InputError(f"simulate_abdomen: seed and case must be 0 or more, got {seed} and {case}.")
    if size not in SIZES:
        raise unknown_name("simulate_abdomen", "size", size, list(SIZES))
    if hospital not in HOSPITALS:
        raise unknown_name("simulate_abdomen", "hospital", hospital, list(HOSPITALS))


def _draw_grid(
    seed: int, case: int, size: str, voxel: tuple[float, float]
) -> tuple[np.ndarray, tuple[int, int, int], np.ndarray]:
    """The voxel grid around a patient at the origin, about the same field for every size; and the scanner's shift."""
    field, rng = load_atlas()["field"], stream(seed, case, "grid")
    grid = field[size]
    in_plane, slices, thickness = rng.uniform(size=3)
    centre = np.array(field["centre"]) + field["jitter"] * near_normal(rng, 3)
    turn = np.eye(3)
    if rng.uniform() < OBLIQUE_CHANCE:
        turn = rotation(rng.uniform(-1, 1, 3) * OBLIQUE_DEGREES / np.sqrt(3))
    table_mm = rng.uniform(-150, 150, 3)

    def between(name: str, share: float) -> float:
        low, high = grid[name]
        return float(low + share * (high - low))

    spacing = np.array([voxel[0] * between("spacing", in_plane)] * 2 + [voxel[1] * between("thickness", thickness)])
    shape = (grid["shape"][0], grid["shape"][1], round(between("slices", slices) / voxel[1]))
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine, shape, table_mm


def _scan(hu: np.ndarray, hospital: Hospital, rng: np.random.Generator) -> np.ndarray:
    """What the hospital's scanner makes of a patient, as stored: whole HU, nothing below -1024."""
    noise = gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), hospital.noise_grain)
    noise *= rng.uniform(*hospital.noise_hu) / noise.std()
    seen = np.where(hu > 0, hospital.enhancement * hu, hu)
    seen[hu > AIR_HU] += hospital.offset_hu
    return np.clip(np.rint(gaussian_filter(seen, hospital.blur) + noise), -1024, 3071).astype(np.int16)


def _reorient(
    image: np.ndarray, label: np.ndarray, affine: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Store the axes in another order or direction; every voxel keeps its place in the world."""
    chance = np.array([often for *_, often in ORIENTATIONS]) / 10
    order, signs, _ = ORIENTATIONS[rng.choice(len(ORIENTATIONS), p=chance)]
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for axis, (old, sign) in enumerate(zip(order, signs, strict=True)):
        change[old, axis] = sign
        change[old, 3] = 0 if sign > 0 else image.shape[old] - 1
    steps = tuple(slice(None, None, sign) for sign in signs)
    stored = (np.ascontiguousarray(array.transpose(order)[steps]) for array in (image, label))
    return next(stored), next(stored), affine @ change
