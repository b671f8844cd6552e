"""Small sets of images with a target each, in every layout; written without the code under test."""

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (13, 11)
CLASSES = ("cat", "dog")


def picture(seed: int, bright: bool, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Noise with a bright or a dark middle."""
    image = np.random.default_rng(seed).normal(120, 12, shape)
    middle = tuple(slice(n // 3, -(n // 3)) for n in shape[:2])
    image[middle] += 70 if bright else -70
    return np.clip(image, 0, 255).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def class_folders(root: Path, each: int = 6, parts: tuple[str, ...] = ("",)) -> Path:
    """``cat/`` has bright middles, ``dog/`` dark ones."""
    for part in parts:
        for number in range(each):
            for bright, name in enumerate(CLASSES):
                seed = 1000 * len(part) + 2 * number + bright
                save(root / part / name / f"{number:02d}.png", picture(seed, bool(bright)))
    return root


def table(root: Path, rows: list[dict[str, object]], name: str = "table.csv") -> Path:
    """Write a CSV."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def graded(root: Path, cases: int = 16, **columns) -> Path:
    """A table of pictures whose middle is as bright as their ``level`` (0 to 3); more columns are functions of it."""
    rows = []
    for number in range(cases):
        level = number % 4
        image = np.random.default_rng(number).normal(60, 6, SHAPE)
        image[4:9, 4:8] += 40 * level
        save(root / "images" / f"p{number:02d}.png", image.clip(0, 255).astype(np.uint8))
        more = {name: make(level) for name, make in columns.items()} if columns else {"label": level}
        rows.append({"file": f"p{number:02d}.png", **more})
    return table(root, rows)


def medmnist(path: Path, shape: tuple[int, ...] = (9, 9), each: int = 8, **arrays: np.ndarray) -> Path:
    """An archive with train and val."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, np.ndarray] = {}
    for offset, part in enumerate(("train", "val")):
        labels = np.arange(each) % 2
        images = [picture(100 * offset + n, bool(label), shape) for n, label in enumerate(labels)]
        content |= {f"{part}_images": np.stack(images), f"{part}_labels": labels[:, None].astype(np.uint8)}
    np.savez_compressed(path, **{**content, **arrays})
    return path


def idx(path: Path, array: np.ndarray) -> Path:
    """MNIST's form: unsigned bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


QUICK = {
    "network.channels": "[4,8]", "network.blocks": "[1,1]", "training.epochs": 2, "training.batch_size": 6,
    "training.validate_every": 1, "training.learning_rate": 2e-2, "training.precision": "32-true",
    "training.loggers": "[csv]", "training.weight_averaging": 0.5, "augmentation.probability": 0,
}  # fmt: skip


def train(data: Path, out: Path, *more: str, system: str = "resnet") -> int:
    """`saccade train` with everything small; what is given in ``more`` comes last and wins."""
    from saccade.cli.main import main

    own = ":" in system
    settings = {name: value for name, value in QUICK.items() if not own or not name.startswith("network.")}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return main(["train", system, "--data", str(data), "--out", str(out), "--preset", "tiny", *words, *more])
