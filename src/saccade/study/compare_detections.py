"""Studies of detectors: scores of each arm's held-out images, and arms against one another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.data.detection.case import BoxDataset
from saccade.files import read_json
from saccade.metrics.detection import average_detectors, compare_detections
from saccade.metrics.detection_match import Found, Truth
from saccade.study.compare_plan import DATA, Arm, Plan
from saccade.study.compare_runs import METRICS
from saccade.study.compare_scores import cost_of
from saccade.study.detections import verdict
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.evaluate import found_of, score_scenes, truth_of
from saccade.tasks.detection.files import FILE, from_json


def score_detection_arm(arm: Arm, plan: Plan, runs: Path) -> dict[str, Any]:
    """An arm's scores and cost.

    Returns:
        ``{"system", "cost", "runs"}`` and what `score_scenes` gives for the held-out images of all folds against all
        of their objects; with several seeds the ``summary`` is the mean of theirs, all else is the first one's.
    """
    dataset, seeds = _dataset(plan), [_joined(runs, names) for names in arm.steps]
    scenes = [dataset.scene(id) for id in seeds[0]]
    result = score_scenes(seeds[0], scenes, dataset.names)
    if len(seeds) > 1:
        each, truth = _as_scored(seeds, dataset)
        mean = average_detectors(each, truth, dataset.names)
        result["summary"] = {**mean["summary"], "per_class": mean["per_class"]}
    return {
        "system": arm.system,
        **result,
        "cost": cost_of(arm, plan, runs),
        "runs": [name for names in arm.steps for name in names],
    }


def compare_detection_arms(plan: Plan, runs: Path) -> list[dict[str, Any]]:
    """Paired comparisons of arms over the same draws of images, each with the names ``arm`` and ``against``."""
    dataset = _dataset(plan)
    seeds = {arm.name: [_joined(runs, names) for names in arm.steps] for arm in plan.arms}
    found = []
    for arm, other in plan.pairs:
        here, truth = _as_scored(seeds[arm], dataset)
        there, _ = _as_scored(seeds[other], dataset)
        scores = compare_detections(here, there, truth, dataset.names)
        judged = {score: {**pair, "n": len(truth), "verdict": verdict(pair)} for score, pair in scores.items()}
        found.append({"arm": arm, "against": other, "cases": len(truth), "scores": judged})
    return found


def _dataset(plan: Plan) -> BoxDataset:
    dataset = plan.datasets[DATA]
    assert isinstance(dataset, BoxDataset)
    return dataset


def _joined(runs: Path, names: Sequence[str]) -> dict[str, Detections]:
    """What was found in the held-out images of several runs together."""
    return {
        id: from_json(scene, f"{runs / name}: {id}")
        for name in names
        for id, scene in read_json(runs / name / METRICS.parent / FILE)["scenes"].items()
    }


def _as_scored(
    seeds: Sequence[dict[str, Detections]], dataset: BoxDataset
) -> tuple[list[dict[str, Found]], dict[str, Truth]]:
    dims = 2 * dataset.dims
    truth = {id: truth_of(dataset.scene(id), dims) for id in seeds[0]}
    return [{id: found_of(said[id], dims, id) for id in truth} for said in seeds], truth
