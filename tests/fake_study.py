"""Studies of a moment: settings of the smallest training, and arms with Dice values as a test wants them."""

from pathlib import Path
from typing import Any

import numpy as np

from saccade.files import write_json
from saccade.metrics import METRICS, confidence_intervals
from saccade.metrics.aggregate import aggregate
from saccade.study.compare_cases import compare_arms

BOTH = ["attention-unet", "unet"]
SMALL = {  # settings of a training that takes no time
    "data": {"patch_size": [8, 8, 8]},
    "training": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2},
    "network": {"channels": [2, 4, 8]},
}
EXTENT = {"diagonal_mm": 60.0, "volume_ml": 70.0}


def scores(dice: float) -> dict[str, float]:
    """All metrics of an organ, that get better as its Dice does."""
    return {metric: dice if "mm" not in metric and "ml" not in metric else 10 * (1 - dice) for metric in METRICS}


def make_arm(dice: dict[str, list[float]], system: str = "unet") -> dict[str, Any]:
    """An arm whose cases a, b, c, ... have these values of each organ."""
    names = "abcdefghijklmnopqrstuvwxyz"
    count = len(next(iter(dice.values())))
    cases = {names[n]: {organ: scores(values[n]) for organ, values in dice.items()} for n in range(count)}
    means = np.mean(list(dice.values()), axis=0)
    return {
        "system": system,
        "cases": cases,
        "extents": dict.fromkeys(cases, EXTENT),
        "summary": aggregate(cases),
        "intervals": confidence_intervals(cases),
        "mean_dice": {"mean": means.mean(), "std": means.std(), "n": count, "low": 0.1, "high": 0.9},
        "cost": {
            "parameters": 1_234_567,
            "training_seconds": [60.0, 90.0],
            "steps": [100, 100],
            "peak_memory_bytes": 2_340_000_000,
            "forward_pass": {"seconds": 0.25},
        },
        "runs": ["one", "two"],
    }


def make_study(arms: dict[str, dict[str, Any]], pairs: list[tuple[str, str]], **changes: Any) -> dict[str, Any]:
    """What ``study.json`` holds."""
    return {
        "version": 1,
        "protocol": None,
        "systems": list(arms),
        "preset": "tiny",
        "settings": {"training": {"epochs": 2}},
        "seeds": 1,
        "folds": 5,
        "notes": [],
        "splits": {},
        "arms": arms,
        "comparisons": compare_arms(arms, pairs),
        "environment": {"date": "2026-01-02T03:04:05+00:00", "machine": "a machine"},
        **changes,
    }


def write_study(folder: Path, study: dict[str, Any]) -> Path:
    """The folder of a finished study, as far as a report reads it."""
    write_json(folder / "plan.json", {})
    write_json(folder / "study.json", study)
    return folder
