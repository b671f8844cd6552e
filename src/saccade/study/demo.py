"""The main job from start to end on simulated abdomens: what `saccade demo` runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saccade.data.check import check_dataset
from saccade.data.synthetic.abdomen import make_abdomen
from saccade.errors import RunError
from saccade.files import write_json, write_text
from saccade.report import write_report
from saccade.runs import load_segmentation, start_run
from saccade.tasks.segmentation.evaluate import evaluate_folders
from saccade.tasks.segmentation.output import find_scans, predict_scans
from saccade.workers import cores

TRAINING_CASES, TEST_CASES = 80, 6
TEST_SEED_OFFSET = 1000  # the test anatomy is drawn apart from the training anatomy
MARK = ".made_by_saccade_demo"  # a folder that holds it may be emptied by the next demo
LARGE_ORGANS = ("liver", "spleen", "right kidney", "left kidney")


def run_demo(out: Path, *, seed: int, seconds: float, say: Callable[[str], None]) -> tuple[dict[str, Any], Path]:
    """Make abdomens, check them, train Attention U-Net, predict abdomens it has not seen, evaluate, report.

    Args:
        out: New folder for all of it.
        seed: Of the anatomy and the training.
        seconds: Training time.
        say: Gets a line at each step.

    Returns:
        The scores on the test cases, and the report's path.

    Raises:
        RunError: If the data made do not pass their check.
    """
    began = time.perf_counter()

    def step(text: str) -> None:
        say(f"[{time.perf_counter() - began:4.0f} s] {text}")

    write_text(out / MARK, "")
    step(f"making {TRAINING_CASES} simulated abdomens to learn from and {TEST_CASES} to be tested on")
    make_abdomen(out / "abdomens", TRAINING_CASES, seed, workers=cores())
    make_abdomen(out / "unseen", TEST_CASES, seed + TEST_SEED_OFFSET, workers=cores())
    for name in ("abdomens", "unseen"):
        faults = check_dataset(out / name)
        if faults:
            raise RunError(f"demo: the data made must be sound, found {len(faults)} fault(s), first: {faults[0]}.")
    step(f"data checked; training attention-unet for {seconds:.0f} s")
    start_run(
        "attention-unet",
        out / "abdomens",
        out / "run",
        preset="tiny",
        split=(0, min(16, TRAINING_CASES)),
        resume=False,
        overrides={"training": {"max_seconds": seconds, "epochs": 1000, "seed": seed}},
        say=step,
    )
    step("predicting the unseen abdomens")
    images = out / "unseen" / "Training" / "img"
    predictor = load_segmentation(out / "run")
    for _ in predict_scans(predictor, find_scans([images]), out / "predictions"):
        pass
    names = predictor.config.data.label_names
    result = evaluate_folders(out / "predictions", images.parent / "label", label_names=names)
    write_json(out / "metrics.json", result)
    report = write_report(out / "run")
    step("done")
    return result, report


def mean_dice_of_large_organs(result: dict[str, Any]) -> float:
    """Mean Dice of liver, spleen and both kidneys."""
    return sum(result["summary"][organ]["dice"]["mean"] for organ in LARGE_ORGANS) / len(LARGE_ORGANS)
