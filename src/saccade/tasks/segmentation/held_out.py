"""What a trained network makes of the held-out cases: predictions and scores."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.layouts import Case, load_case
from saccade.data.partial import FILE as PARTIAL
from saccade.data.volume import write_volume
from saccade.files import write_json
from saccade.tasks.fitting import Say
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.evaluate import evaluate_folders
from saccade.tasks.segmentation.labelled import known_labels
from saccade.tasks.segmentation.predictor import SegmentationPredictor

SNAPSHOT_CASES = 8  # held-out cases whose attention maps are kept for the report


def predict_held_out(predictor: SegmentationPredictor, cases: list[Case], run: Path, say: Say) -> dict[str, Any]:
    """Predict cases into the run's ``validation/``, beside the truth and the attention of the first few; score them."""
    folder, labelled = run / "validation", predictor.config.data.labelled
    began = time.perf_counter()
    for position, case in enumerate(cases):
        volume, label = load_case(case)
        assert label is not None
        found = predictor.segment(volume, attention=position < SNAPSHOT_CASES)
        write_volume(found.labels, folder / f"{case.id}.nii.gz")
        # an organ that was not to be learned is not missed
        label = known_labels(predictor.config, case, label)
        asked = np.where(np.isin(label.array, predictor.config.classes), label.array, 0)
        write_volume(label.like(asked.astype(label.array.dtype)), folder / "truth" / f"{case.id}.nii.gz")
        for gate, map_ in found.attention.items():
            write_volume(map_, folder / "attention" / f"{case.id}_{gate}.nii.gz")
    say(f"predicted {len(cases)} held-out cases in {time.perf_counter() - began:.0f} s")
    if partial := {case.id: list(labelled[case.id]) for case in cases if case.id in labelled}:
        write_json(folder / "truth" / PARTIAL, partial)  # organs that were not labelled in a case are not scored
    result = evaluate_folders(folder, folder / "truth", label_names=predictor.config.data.label_names)
    write_json(folder / "metrics.json", result)
    return result


def summary_scores(config: SegmentationConfig, result: dict[str, Any] | None) -> dict[str, Any]:
    """What of the scores of the held-out cases (if there are any) goes into the summary of the run."""
    summary: dict[str, Any] = {}
    if config.data.labelled:
        summary["partially_labelled_cases"] = len(config.data.labelled)
    if result is not None:
        means = {organ: metrics["dice"]["mean"] for organ, metrics in result["summary"].items()}
        known = [value for value in means.values() if value is not None and np.isfinite(value)]
        summary |= {"mean_dice": float(np.mean(known)) if known else None, "dice": means}
    return summary
