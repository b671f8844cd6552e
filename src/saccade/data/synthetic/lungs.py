"""Simulated CT of chests whose lungs are diseased in a known part, to try Subject2Vec with before real scans.

Sick parenchyma has holes of several voxels, as emphysema has; healthy parenchyma has as many dark voxels, but scattered
ones. So the histogram of the lungs is the same in all, and neither their mean density nor the share of dark voxels
tells who is sick: a shortcut that real emphysema has is taken away on purpose.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int16
from scipy.ndimage import gaussian_filter

from saccade.data.synthetic.anatomy import near_normal, stream
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.files import write_text

SHAPE = (64, 48, 56)
SPACING_MM = 5.0
HEALTHY_CHANCE = 1 / 3
EXTENTS = (0.05, 0.75)  # of the lungs of those who are sick
STAGES = (0.0, 0.2, 0.4)  # extent above which a stage is 1, 2, 3
BLOB_VOXELS = 6.0  # smoothness of the diseased region
GRAIN_VOXELS = {"healthy": 0.5, "sick": 1.2}  # smoothness of the parenchyma's texture
HOLE_HU, HOLE_FROM = 90.0, 0.3  # how deep holes are, and how much of the texture is one
Space = Float[np.ndarray, "i j k"]


@dataclass(frozen=True)
class Chest:
    """One simulated CT.

    Attributes:
        image: HU, axes to the right, the front and the head.
        lungs, disease: Where there is lung, and where it is diseased.
        facts: What was drawn: ``extent`` (diseased part of the lungs) and what must not tell it.
    """

    image: Int16[np.ndarray, "i j k"]
    lungs: Bool[np.ndarray, "i j k"]
    disease: Bool[np.ndarray, "i j k"]
    facts: dict[str, float]

    @property
    def stage(self) -> int:
        """0 healthy, 1 to 3 by extent."""
        return sum(self.facts["extent"] > above for above in STAGES)


def make(out: Path, *, cases: int, seed: int, progress: Callable[[int, int], Any] | None = None) -> list[str]:
    """Write chests as volumes with a table: ``lungs.csv``, ``images/`` and, beside them, ``truth/``.

    The table has for each image ``target_extent`` (0 to 1), ``stage`` (0 to 3) and ``disease`` (no, yes). ``truth/``
    has label maps on the images' grid (1 healthy lung, 2 diseased) and ``facts.csv`` with what was drawn.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1. A case does not depend on how many there are.
        seed: 0 or more; another seed gives other patients.
        progress: Called with (cases done, cases) after each.

    Returns:
        The ids of the cases: lungs0001, lungs0002, ...

    Raises:
        InputError: If a number is too small.
    """
    if cases < 1:
        raise InputError(f"lungs: cases must be 1 or more, got {cases}.")
    rows: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    for case in range(1, cases + 1):
        chest, id = simulate_chest(seed, case), f"lungs{case:04d}"
        write_volume(Volume(chest.image, affine), out / "images" / f"{id}.nii.gz")
        write_volume(
            Volume(chest.lungs.astype(np.uint8) + chest.disease.astype(np.uint8), affine),
            out / "truth" / f"{id}.nii.gz",
        )
        extent = round(chest.facts["extent"], 4)
        rows.append({
            "image": f"{id}.nii.gz", "target_extent": extent, "stage": chest.stage,
            "disease": "yes" if chest.stage else "no",
        })  # fmt: skip
        facts.append({"case": id, **{name: round(value, 4) for name, value in chest.facts.items()}})
        if progress:
            progress(case, cases)
    _write_table(out / "truth" / "facts.csv", facts)
    _write_table(out / "lungs.csv", rows)
    return [fact["case"] for fact in facts]


def simulate_chest(seed: int, case: int) -> Chest:
    """One simulated CT of a chest, 64 x 48 x 56 voxels of 5 mm.

    Raises:
        InputError: If seed or case is negative.

    >>> chest = simulate_chest(seed=0, case=2)
    >>> chest.image.shape, bool((chest.disease <= chest.lungs).all())
    ((64, 48, 56), True)
    """
    if seed < 0 or case < 0:
        raise InputError(f"lungs: seed and case must be 0 or more, got {seed} and {case}.")
    draw = stream(seed, case, "patient")
    size, inspiration = 1 + 0.05 * near_normal(draw), near_normal(draw)
    facts = {
        "extent": 0.0 if draw.uniform() < HEALTHY_CHANCE else float(draw.uniform(*EXTENTS)),
        "parenchyma_hu": float(-830 - 20 * inspiration + 12 * near_normal(draw)),
        "noise_hu": float(draw.uniform(12, 24)),
        "offset_hu": float(draw.uniform(-15, 15)),
        "vessels": float(draw.uniform(0.7, 1.3)),
    }
    p = _positions() / size
    p += 5 * np.stack([_field(seed, case, f"warp {axis}", 8.0) for axis in range(3)])  # mm
    tissue = _inside(p, (0.0, 0.0, 0.0), (142.0, 104.0, 400.0), power=2.6)
    lungs = _lungs(p, float(1 + 0.05 * inspiration)) & tissue
    disease = _diseased_part(lungs, facts["extent"], _field(seed, case, "region", BLOB_VOXELS))
    facts["extent"] = float(disease.sum() / lungs.sum())
    facts["lung_volume_ml"] = float(lungs.sum() * SPACING_MM**3 / 1000)
    image = np.where(tissue, 40.0 + 12 * _field(seed, case, "tissue", 1.5), -1000.0)
    image[_inside(p, (0.0, -76.0, 0.0), (17.0, 17.0, 400.0))] = 320.0  # spine
    vessels = _vessels(seed, case, facts["vessels"]) - 0.25 * p[1]  # the back is denser
    image = gaussian_filter(np.where(lungs, facts["parenchyma_hu"] + vessels, image), 0.35)
    # behind the blur, which would take more from the finer of both textures and so tell them by their histograms
    image += lungs * _holes(seed, case, disease) + tissue * facts["offset_hu"]
    image += facts["noise_hu"] * stream(seed, case, "noise").standard_normal(SHAPE)
    return Chest(np.clip(np.rint(image), -1024, 3071).astype(np.int16), lungs, disease, facts)


def _holes(seed: int, case: int, disease: np.ndarray) -> Space:
    """What holes take from the parenchyma, HU: coarse ones where it is diseased, fine ones elsewhere."""
    sick, healthy = (_field(seed, case, kind, GRAIN_VOXELS[kind]) for kind in ("sick", "healthy"))
    # both fields are normal with deviation 1, so that the same step gives both the same histogram
    return -HOLE_HU * np.clip(np.where(disease, sick, healthy) - HOLE_FROM, 0, None)


def _vessels(seed: int, case: int, width: float) -> Space:
    """Bright lines through the lungs, HU: where two smooth fields are both near zero."""
    distance = sum(_field(seed, case, f"vessel {n}", 3.0) ** 2 for n in range(2))
    return np.asarray(450 * np.exp(-distance / (0.02 * width)))


def _diseased_part(lungs: np.ndarray, extent: float, field: Space) -> Bool[np.ndarray, "i j k"]:
    """The part of the lungs where the field is highest, as large as the extent says."""
    if extent == 0:
        return np.zeros_like(lungs)
    return lungs & (field > np.quantile(field[lungs], 1 - extent))


def _lungs(p: np.ndarray, depth: float) -> Bool[np.ndarray, "i j k"]:
    """Two lungs on the domes of the diaphragm, with the heart between."""
    both = _inside(p, (68.0, 0.0, 0.0), (52.0, 80.0, 132.0 * depth)) | _inside(
        p, (-68.0, 0.0, 0.0), (52.0, 80.0, 132.0 * depth)
    )
    heart = _inside(p, (-22.0, 18.0, -45.0), (52.0, 46.0, 52.0))
    domes = _inside(p, (68.0, 0.0, -150.0), (62.0, 90.0, 70.0)) | _inside(p, (-68.0, 0.0, -155.0), (62.0, 90.0, 65.0))
    return both & ~heart & ~domes


def _inside(
    p: np.ndarray, centre: tuple[float, ...], radii: tuple[float, ...], power: float = 2.0
) -> Bool[np.ndarray, "i j k"]:
    """An ellipsoid, or with another power a box with round corners; mm."""
    total = sum(np.abs((q - c) / r) ** power for q, c, r in zip(p, centre, radii, strict=True))
    return np.asarray(total < 1)


def _positions() -> Float[np.ndarray, "3 i j k"]:
    """Millimetres from the middle."""
    return (np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T * SPACING_MM


def _field(seed: int, case: int, name: str, smooth: float) -> Space:
    """Smooth noise of mean 0 and deviation 1."""
    noise = gaussian_filter(stream(seed, case, name).standard_normal(SHAPE), smooth, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
