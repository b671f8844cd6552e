"""A small run folder with everything a report shows."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

SHAPE = (11, 13, 17)
METRICS = ("dice", "precision", "recall", "surface_distance_mm", "hd95_mm", "surface_dice", "volume_error_ml")


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine), path)


def labels(shift: int = 0) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:6, 3 + shift : 8 + shift, 4:11] = 1
    array[7:9, 3:6, 4:7] = 2
    return array


def scores(liver: float | None, spleen: float | None) -> dict[str, dict[str, float | None]]:
    return {"liver": dict.fromkeys(METRICS, liver), "spleen": dict.fromkeys(METRICS, spleen)}


def make_run(root: Path, dice: dict[str, tuple[float | None, float | None]] | None = None) -> Path:
    """A run with a data set beside it; ``dice`` gives the liver's and the spleen's for each case."""
    run, data = root / "run", root / "data"
    dice = dice or {"good": (0.95, 0.85), "bad": (0.5, 0.25), "middling": (0.75, None)}
    rng = np.random.default_rng(1)
    for name in dice:
        save(data / "images" / f"{name}.nii.gz", rng.normal(50, 30, SHAPE).astype(np.float32))
        save(data / "labels" / f"{name}.nii.gz", labels())
        save(run / "validation" / f"{name}.nii.gz", labels(1))
        save(run / "validation" / "attention" / f"{name}_gate1.nii.gz", rng.random(SHAPE).astype(np.float32))
    summary = {
        organ: {metric: {"mean": 0.7126, "std": 0.125, "n": 3, "n_missed": 1, "n_spurious": 0} for metric in METRICS}
        for organ in ("liver", "spleen")
    }
    cases = {name: scores(*values) for name, values in dice.items()}
    write_json(run / "validation" / "metrics.json", {"cases": cases, "summary": summary})
    config = {
        "system": "attention-unet",
        "preset": "tiny",
        "data": {
            "root": str(data),
            "label_names": {1: "liver", 2: "spleen"},
            "intensity": {"kind": "ct_window", "low": -160, "high": 240},
        },
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (run / "metrics.csv").write_text(
        "epoch,step,seconds,train_loss,val_loss,val_dice,learning_rate,gpu\n"
        "0,10,1.5,0.9,,,0.001,a\n1,20,3.0,0.6,0.7,0.4,0.0005,b\n2,30,4.5,nan,,,0.0001,\n"
    )
    write_json(
        run / "summary.json",
        {
            "score": 0.71,
            "best_epoch": 1,
            "parameters": 6411498,
            "training_seconds": 192.3,
            "peak_memory_bytes": 1834200000,
        },
    )
    write_json(run / "environment.json", {"torch": "2.13.0", "seed": 7})
    files = {
        name: {
            "image": [str(data / "images" / f"{name}.nii.gz")],
            "label": str(data / "labels" / f"{name}.nii.gz"),
            "sha256": {f"images/{name}.nii.gz": "f00d" * 16},
        }
        for name in dice
    }
    write_json(run / "splits.json", {"train": ["other"], "validation": list(dice), "files": files})
    return run


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
