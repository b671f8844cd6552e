"""Small sets of pictures and volumes with boxes that a detector learns in seconds; written without our own writers."""

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from saccade.cli.main import main

ROWS, COLUMNS = 64, 96
AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])  # the first axis runs to the left
AFFINE[:3, 3] = 10, -20, 30
SETTINGS = {
    "network.channels": "[4,8,8,8]",
    "network.width": 8,
    "network.dropout": 0,
    "augmentation.probability": 0,
    "training.epochs": 2,
    "training.batch_size": 4,
    "training.learning_rate": 0.01,
    "training.precision": "32-true",
    "data.size": "[32,32]",
}
Scene = tuple[np.ndarray, list[tuple[str, list[int]]]]


def scene(seed: int, objects: int) -> Scene:
    """Noise with bright squares (``sun``) in the left half and dark ones (``hole``) in the right."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(120, 8, (ROWS, COLUMNS))
    boxes = []
    for number in range(objects):
        side = int(rng.integers(20, 28))
        x, y = int(rng.integers(0, 48 - side)) + 48 * number, int(rng.integers(0, ROWS - side))
        pixels[y : y + side, x : x + side] += -80 if number else 80
        boxes.append(("hole" if number else "sun", [x, y, x + side, y + side]))
    return pixels.clip(0, 255).astype(np.uint8), boxes


def picture_table(root: Path, count: int = 8) -> Path:
    """Pictures of one or two objects, the last one of none, and a `boxes.csv`."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["image,x1,y1,x2,y2,class"]
    for number in range(count):
        pixels, objects = scene(number, 0 if number == count - 1 else 1 + number % 2)
        Image.fromarray(pixels).save(root / f"p{number:02d}.png")
        lines += [f"p{number:02d}.png,{','.join(map(str, box))},{name}" for name, box in objects]
        if not objects:
            lines.append(f"p{number:02d}.png,,,,,")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def volume_table(root: Path, count: int = 4) -> Path:
    """Volumes of 16 x 14 x 12 voxels with a bright brick each, their boxes in mm."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["image,x1,y1,z1,x2,y2,z2,class"]
    for number in range(count):
        rng = np.random.default_rng(number)
        voxels = rng.normal(0, 1, (16, 14, 12)).astype(np.float32)
        start = rng.integers(1, 7, 3)
        end = start + np.array([6, 5, 4])
        voxels[tuple(slice(a, b) for a, b in zip(start, end, strict=True))] += 8
        nib.save(nib.Nifti1Image(voxels, AFFINE), root / f"v{number}.nii.gz")
        edges = np.array([start, end]) - 0.5
        world = edges @ AFFINE[:3, :3].T + AFFINE[:3, 3]
        box = [*world.min(0), *world.max(0)]
        lines.append(f"v{number}.nii.gz,{','.join(f'{value:g}' for value in box)},brick")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def train(data: Path, out: Path, *more: str, system: str = "ssd") -> int:
    """`saccade train` with everything small; what is given in ``more`` comes last and wins."""
    words = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    return main(
        ["train", system, "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "4", *words, *more]
    )
