"""Scores of classes and numbers as tables, and two sets of predictions of the same cases held against each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.errors import InputError
from saccade.study.pairs import comparison_table, judged, left_out, paired
from saccade.study.statistics import holm
from saccade.study.tables import Table, number, span

# Name of each score for people, in the order in which they are shown.
SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "kappa": "Kappa, quadratic",
    "mae_levels": "Mean error (levels)",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "spearman": "Rank correlation",
    "brier": "Brier",
    "ece": "ECE",
    "log_loss": "Log loss",
}
LARGEST_CONFUSION = 12  # classes; a larger table is not read by anybody


def target_tables(result: Mapping[str, Any]) -> list[Table]:
    """Summary with intervals, classes, confusion, and the comparison where there is one."""
    summary = result["summary"]
    rows = [["Score", "Value", "95 % interval"]]
    rows += [[SCORES[name], number(summary[name]["value"]), span(summary[name])] for name in SCORES if name in summary]
    tables = [Table(f"scores over {len(result['cases'])} case(s), intervals from bootstrap over cases", rows)]
    shown = [name for name in SCORES if any(name in scores for scores in result["per_class"].values())]
    what = "Target" if result["kind"] == "regression" else "Class"
    rows = [[what, "Cases", *(SCORES[name] for name in shown)]]
    for name, scores in result["per_class"].items():
        rows.append([name, str(scores["n"]), *(number(scores.get(score)) for score in shown)])
    tables.append(Table("one by one", rows))
    confusion = result.get("confusion")
    if confusion and len(confusion) <= LARGEST_CONFUSION:
        names = result["classes"]
        rows = [["Truth, down; predicted, across", *names]]
        rows += [[name, *map(str, counts)] for name, counts in zip(names, confusion, strict=True)]
        tables.append(Table("confusion", rows))
    if "against" in result:
        tables.append(comparison_table(result["against"]))
    return tables


def compare_targets(result: Mapping[str, Any], other: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """A paired comparison of two results of `evaluate_predictions` over the same truth, case by case.

    Args:
        result: Of the predictions in question.
        other: Of those that they are held against.
        seed: Of the intervals' draws.

    Returns:
        ``{"cases": n, "left_out": {"only_here", "only_there"}, "scores": {score: {...}}}``: of ``correct`` (classes and
        levels) and ``loss`` each case's difference with ``mean``, ``mean_other``, ``difference``, ``low``, ``high``
        (95 % bootstrap interval over cases), ``p`` (Wilcoxon signed-rank, two-sided), ``p_holm`` and a ``verdict``.

    Raises:
        InputError: If they are of different kinds or no case is in both.
    """
    if result["kind"] != other["kind"] or set(result["classes"]) != set(other["classes"]):
        raise InputError(
            f"against: both must predict the same, got {result['kind']} of {', '.join(result['classes'])} and "
            f"{other['kind']} of {', '.join(other['classes'])}."
        )
    first, second = result["cases"], other["cases"]
    shared = [case for case in first if case in second]
    if not shared:
        raise InputError("against: both must score the same cases, there is none in both.")
    if any(first[case]["truth"] != second[case]["truth"] for case in shared):
        raise InputError("against: both must be scored against the same truth, the targets differ.")
    found: dict[str, Any] = {}
    for score in ("correct", "loss"):
        if score in first[shared[0]]:
            a, b = ({case: float(cases[case][score]) for case in shared} for cases in (first, second))
            found[score] = paired(a, b, seed=seed)
    corrected = holm({score: pair["p"] for score, pair in found.items() if not np.isnan(pair["p"])})
    return {
        "cases": len(shared),
        "left_out": left_out(first, second),
        "scores": {score: judged(pair, score, corrected.get(score, float("nan"))) for score, pair in found.items()},
    }
