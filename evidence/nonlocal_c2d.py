"""Videos whose class needs distant frames: C2D with a non-local block against the same network without it.

Both learn from the same simulated videos for the same number of steps, and are tested on videos of another seed. What
sees one frame, the mean of all, or neighbours alone scores beside them. The small experiment of the blocks is the one
of nonlocal-resnet.
"""

import argparse
from pathlib import Path
from typing import Any

import read_out_sheets
from common import once, write_record
from targets import Result, against, arm, run

from saccade.data.synthetic.frame_shortcuts import frame_shortcuts
from saccade.data.synthetic.moving_shapes import make

SEEDS = range(3)
TRAIN_CASES, TEST_CASES = 6000, 600
STEPS = 1000
SETTINGS = (
    "training.epochs=4", f"training.steps_per_epoch={STEPS // 4}", "training.validate_every=4",
    "training.precision=32-true", "training.loggers=[csv]", "augmentation.brightness=0", "augmentation.contrast=[1,1]",
)  # fmt: skip
ARMS = {"nonlocal-c2d": "network.behind=null", "C2D": "network.behind={}"}
CHANCE = 0.5


def make_data(folder: Path) -> tuple[Path, Path]:
    """Videos to learn from and, of another seed, videos for the test."""
    for name, cases, seed in (("train", TRAIN_CASES, 0), ("test", TEST_CASES, 1)):
        if not (folder / name / "videos.npz").is_file():
            make(folder / name, cases=cases, seed=seed)
    return folder / "train", folder / "test"


def results_of(options: argparse.Namespace, name: str, train: Path, test: Path) -> list[Result]:
    """Every seed of one arm."""
    return [
        run(
            "nonlocal-c2d",
            train,
            test,
            work=options.work,
            part=f"moving-shapes-{name}-{seed}",
            seed=seed,
            settings=(*SETTINGS, ARMS[name]),
            options=("--preset", "tiny", "--folds", "20"),
        )
        for seed in SEEDS
    ]


def nonlocal_c2d(options: argparse.Namespace) -> None:
    """Fill nonlocal-c2d.json."""
    train, test = make_data(options.work / "moving_shapes")
    runs = {name: results_of(options, name, train, test) for name in ARMS}
    results, control = runs.values()
    shortcuts: dict[str, Any] = once("moving-shapes-shortcuts", lambda: {"accuracy": frame_shortcuts(train, test)})
    both_days = shortcuts["accuracy"].pop("both days")
    sheet = once("sheet-corners", read_out_sheets.corners)
    compared = against(results, control)
    largest = max(shortcuts["accuracy"].values())
    record = {
        "control": "C2D: the same network without the block, same videos and steps",
        "task": "classification of simulated videos",
        "paper": "Wang et al. 2018, arXiv:1711.07971",
        "data": {
            "name": f"saccade data make moving-shapes: {TRAIN_CASES} videos of seed 0 to learn from (a twentieth left "
            f"out), {TEST_CASES} of seed 1 to test",
            "licence": "made by the script",
        },
        "metric": f"accuracy on {TEST_CASES} unseen videos, seeds averaged; chance is 0.5",
        "seeds": len(SEEDS),
        **compared,
        "log_likelihood": against(results, control, "loss"),
        "arms": {name: arm(found) for name, found in runs.items()},
        "forms": {key: sheet[key] for key in sheet if key not in ("accept", "machine", "date", "numbers")},
        "accept": {
            "better than without the block: the interval excludes zero": compared["interval_95"][0] > 0,
            "without the block no better than 0.05 above chance": compared["control_score"] <= CHANCE + 0.05,
            "no shortcut more than 0.05 above chance": largest <= CHANCE + 0.05,
            "the rule on the shapes that fit best by day tells 95 %": both_days >= 0.95,
            **sheet["accept"]["nonlocal-resnet"],
            **read_out_sheets.exact_non_local(),
        },
        "shortcut_baselines": {**shortcuts["accuracy"], "both days (no shortcut: what there is to see)": both_days},
        "notes": NOTES,
    }
    write_record("nonlocal-c2d", record)


NOTES = [
    f"Preset tiny (widths 8, 16, 32, one block a stage, one non-local block at half the frames' size), {STEPS} steps "
    "of 16 videos; one thread a run, another job beside it: seconds are upper bounds.",
    "The simulation and the number of steps were chosen by looking at videos of other seeds.",
    "The forms were trained once each (seed 0), 500 steps of 64 images, and no longer where that was too short.",
]
