"""Scans of one bright blob and settings that learn them in seconds; `conftest.py` puts this on the path."""

from pathlib import Path

import nibabel as nib
import numpy as np

from saccade.cli.main import main

SHAPE = (17, 13, 11)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
NETWORK = {
    "attention-unet": ["--set", "network.channels=[2,4,8]"],
    "unet": ["--set", "network.channels=[2,4,8]"],
    "homework-unet-2d": ["--set", "network.width=2"],
    "homework-unet-3d": ["--set", "network.width=2"],
}
SETTINGS = {
    "data.patch_size": "[8,8,8]",
    "training.epochs": 2,
    "training.steps_per_epoch": 2,
    "training.batch_size": 2,
    "training.validate_every": 1,
    "training.learning_rate": 4e-3,
}
QUICK = ["--preset", "tiny", *(part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}"))]


def blob(seed: int, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image with one bright ball, and its label."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, shape).astype(np.float32)
    centre = np.array([rng.integers(min(3, n // 2), max(n - 3, n // 2 + 1)) for n in shape])
    distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - centre, axis=-1)
    label = (distance <= 3).astype(np.uint8)
    return image + 6 * label, label


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write NIfTI with nibabel, not with the code under test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def make_pairs(root: Path, cases: int = 5, shape: tuple[int, ...] = SHAPE) -> Path:
    """A data set in `images/` and `labels/`."""
    for number in range(cases):
        image, label = blob(number, shape)
        save(root / f"images/case{number}.nii.gz", image)
        save(root / f"labels/case{number}.nii.gz", label)
    return root


def command_line(data: Path, out: Path, *more: str, system: str = "attention-unet") -> list[str]:
    """`saccade train` with everything small; what is given in ``more`` comes last and wins."""
    return ["train", system, "--data", str(data), "--out", str(out), *QUICK, *NETWORK[system], *more]


def train(data: Path, out: Path, *more: str, system: str = "attention-unet") -> int:
    """Train with that command line; gives its exit code."""
    return main(command_line(data, out, *more, system=system))


def files(root: Path) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
