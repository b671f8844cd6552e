"""From the scores of a study's runs to its arms: every held-out case once, seeds averaged; and what they cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.files import read_json, write_json
from saccade.metrics import confidence_intervals
from saccade.metrics.aggregate import aggregate
from saccade.metrics.intervals import interval
from saccade.runs import make_network, read_config
from saccade.study.compare_cases import Result, average_seeds, mean_dice_of_cases
from saccade.study.compare_plan import Arm, Plan, Transfer
from saccade.study.compare_runs import METRICS as SCORES_FILE
from saccade.study.cost import measure_cost


def score_arm(arm: Arm, plan: Plan, runs: Path) -> dict[str, Any]:
    """An arm's scores and cost.

    Returns:
        ``{"system", "cases", "extents", "summary", "intervals", "mean_dice": {"mean", "std", "n", "low", "high"},
        "cost", "runs"}``: the middle four as `evaluate_folders` gives them, ``mean_dice`` over cases of each case's
        mean over organs, with its 95 % bootstrap interval.
    """
    result = average_seeds([_joined(runs, names) for names in arm.steps])
    means = list(mean_dice_of_cases(result).values())
    return {
        "system": arm.system,
        **result,
        "summary": aggregate(result["cases"]),
        "intervals": confidence_intervals(result["cases"]),
        "mean_dice": {
            "mean": float(np.mean(means)) if means else float("nan"),
            "std": float(np.std(means)) if means else float("nan"),
            "n": len(means),
            **interval(means),
        },
        "cost": cost_of(arm, plan, runs),
        "runs": [name for names in arm.steps for name in names],
    }


def _joined(runs: Path, names: Sequence[str]) -> Result:
    """The held-out cases of several runs together."""
    found = [read_json(runs / name / SCORES_FILE) for name in names]
    return {
        key: {case: value for result in found for case, value in result[key].items()} for key in ("cases", "extents")
    }


def cost_of(arm: Arm, plan: Plan, runs: Path) -> dict[str, Any]:
    """What the trainings and one forward pass of the network cost."""
    trained = {step.name: step.of if isinstance(step, Transfer) else step.name for step in plan.steps}
    names = list(dict.fromkeys(trained[name] for steps in arm.steps for name in steps))
    summaries = [read_json(runs / name / "summary.json") for name in names]
    return {
        "parameters": summaries[0]["parameters"],
        "training_seconds": [summary["training_seconds"] for summary in summaries],
        "steps": [summary["steps"] for summary in summaries],
        "peak_memory_bytes": max(summary["peak_memory_bytes"] for summary in summaries),
        "forward_pass": _forward_pass(runs / names[0]),
    }


def _forward_pass(run: Path) -> dict[str, Any]:
    """Arithmetic and time of one patch through the network on the processor; measured once and kept."""
    kept = run / "cost.json"
    if not kept.is_file():
        config = read_config(run)
        write_json(kept, measure_cost(make_network(config), (1, *config.input_shape)).as_dict())
    cost: dict[str, Any] = read_json(kept)
    return cost
