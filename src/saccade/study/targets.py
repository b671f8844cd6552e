"""Scores of classes and numbers as tables, and two sets of predictions of the same cases held against each other."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.errors import InputError
from saccade.study.comparison import SIGNIFICANT
from saccade.study.evaluation import Table
from saccade.study.statistics import FEWEST, compare_paired, holm
from saccade.study.tables import markdown, number, span

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
LOWER_IS_BETTER = ("loss",)
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


def target_markdown(result: Mapping[str, Any]) -> str:
    """The tables as Markdown: first the summary, then each of the others under its title."""
    summary, *others = target_tables(result)
    return markdown(summary.rows) + "".join(f"\n**{table.title}**\n\n{markdown(table.rows)}" for table in others)


def target_csv(result: Mapping[str, Any]) -> str:
    """The summary as CSV: score, value, low, high, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["score", "value", "low", "high"])
    for name, found in result["summary"].items():
        numbers = ("" if found[key] is None or np.isnan(found[key]) else found[key] for key in ("value", "low", "high"))
        writer.writerow([name, *numbers])
    return text.getvalue()


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
            found[score] = _paired(a, b, seed)
    corrected = holm({score: pair["p"] for score, pair in found.items() if not np.isnan(pair["p"])})
    return {
        "cases": len(shared),
        "left_out": {
            "only_here": [case for case in first if case not in second],
            "only_there": [case for case in second if case not in first],
        },
        "scores": {score: judged(pair, score, corrected.get(score, float("nan"))) for score, pair in found.items()},
    }


def comparison_table(against: Mapping[str, Any]) -> Table:
    """A comparison's rows."""
    rows = [["Score of a case", "Here", "There", "Difference", "95 % interval", "p", "p (Holm)", "Verdict"]]
    for score, pair in against["scores"].items():
        means = [number(pair[key]) for key in ("mean", "mean_other", "difference")]
        p = [number(pair["p"], ".2g"), number(pair["p_holm"], ".2g")]
        rows.append([score, *means, span(pair), *p, pair["verdict"]])
    return Table(f"against the other, over {against['cases']} shared case(s)", rows, keep=1)


def judged(pair: dict[str, Any], score: str, p_holm: float) -> dict[str, Any]:
    """The comparison with its verdict: a difference is shown when interval and corrected p agree that it is."""
    if np.isnan(pair["p"]):
        verdict = f"not tested: at least {FEWEST} cases are needed"
    elif pair["low"] <= 0 <= pair["high"]:
        verdict = "difference not shown: the interval includes zero"
    elif p_holm >= SIGNIFICANT:
        verdict = f"difference not shown: p is not below {SIGNIFICANT:g}"
    else:
        verdict = "better" if (pair["low"] > 0) != (score in LOWER_IS_BETTER) else "worse"
    return {**pair, "p_holm": p_holm, "verdict": verdict}


def _paired(a: Mapping[str, float], b: Mapping[str, float], seed: int) -> dict[str, Any]:
    if len(a) < FEWEST:
        means = [float(np.mean([*side.values()])) for side in (a, b)]
        nothing = dict.fromkeys(("low", "high", "p"), float("nan"))
        return {"n": len(a), "mean": means[0], "mean_other": means[1], "difference": means[0] - means[1], **nothing}
    found = compare_paired(a, b, seed=seed)
    ends = {"low": found.low, "high": found.high, "p": found.p}
    return {"n": found.n, "mean": found.mean_a, "mean_other": found.mean_b, "difference": found.difference, **ends}
