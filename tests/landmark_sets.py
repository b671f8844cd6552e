"""Small sets of images with landmarks, in both forms; written without the code under test."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

SHAPE = (37, 29)
NAMES = ("top", "middle", "bottom")
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 1.5, 0, -11], [0, 0, 3.0, 7], [0, 0, 0, 1]])


def spots(seed: int, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Noise with three equal bright spots in a row along the first axis, and their voxels (3, d)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 8, shape)
    start = np.array([rng.integers(3, 7), *(rng.integers(n // 3, n - n // 3) for n in shape[1:])])
    gap = np.array([(shape[0] - 12) // 2, *[0] * (len(shape) - 1)])
    places = start + np.arange(3)[:, None] * gap
    indices = np.moveaxis(np.indices(shape), 0, -1)
    for place in places:
        image += 150 * np.exp(-0.5 * (np.linalg.norm(indices - place, axis=-1) / 1.3) ** 2)
    return image.clip(0, 255).astype(np.uint8), places


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def pictures(root: Path, cases: int = 8, *, wide: bool = False, missing: tuple[int, str] | None = None) -> Path:
    """PNG; ``missing`` is one landmark of one case that is left empty."""
    long_rows, wide_rows = [], []
    for number in range(cases):
        image, places = spots(number)
        (root / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / f"images/p{number}.png")
        row: list[object] = [f"p{number}.png"]
        for name, (r, c) in zip(NAMES, places, strict=True):
            point = ["", ""] if missing == (number, name) else [c + 0.5, r + 0.5]
            long_rows.append([f"p{number}.png", name, *point])
            row += point
        wide_rows.append(row)
    if wide:
        write(root / "points.csv", ["file", *(f"{n}_{a}" for n in NAMES for a in "xy")], wide_rows)
    else:
        write(root / "points.csv", ["image", "name", "x", "y"], long_rows)
    return root


def volumes(root: Path, cases: int = 4, shape: tuple[int, ...] = (31, 13, 11)) -> Path:
    """NIfTI whose first axis runs to the left; landmarks in world mm."""
    rows = []
    for number in range(cases):
        image, places = spots(number, shape)
        root.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(image, AFFINE), root / f"v{number}.nii.gz")
        for name, place in zip(NAMES, places, strict=True):
            world = AFFINE @ [*place, 1.0]
            rows.append([f"v{number}.nii.gz", name, *world[:3]])
    write(root / "points.csv", ["image", "name", "x", "y", "z"], rows)
    return root
