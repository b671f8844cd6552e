"""Scores of landmarks as tables, and two sets of predictions of the same cases held against each other."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from saccade.errors import InputError
from saccade.study.evaluation import Table
from saccade.study.statistics import FEWEST, compare_paired
from saccade.study.tables import markdown, number, span, unknown
from saccade.study.targets import comparison_table, judged

# Name of each score for people, in the order in which they are shown.
SCORES = {
    "localised": "Localised",
    "all_localised": "Images with all localised",
    "mean_error": "Mean error",
    "median_error": "Median error",
    "invented": "Missing ones that were predicted",
}


def landmark_tables(result: Mapping[str, Any]) -> list[Table]:
    """Summary with intervals, landmarks one by one, and the comparison where there is one."""
    summary = result["summary"]
    rows = [["Score", "Value", "95 % interval"]]
    rows += [[title, number(summary[name]["value"]), span(summary[name])] for name, title in SCORES.items()]
    title = f"{len(result['cases'])} image(s), localised: {result['criterion']}; intervals from bootstrap over images"
    each = [["Landmark", "There", "Localised", "Mean error", "Median error", "Invented"]]
    for name, found in result["per_landmark"].items():
        scores = [number(found[key]) for key in ("localised", "mean_error", "median_error")]
        each.append([name, str(found["n"]), *scores, str(found["invented"])])
    tables = [Table(title, rows), Table("one by one", each)]
    if "against" in result:
        tables.append(comparison_table(result["against"]))
    return tables


def landmark_markdown(result: Mapping[str, Any]) -> str:
    """The tables as Markdown: first the summary, then each of the others under its title."""
    summary, *others = landmark_tables(result)
    return markdown(summary.rows) + "".join(f"\n**{table.title}**\n\n{markdown(table.rows)}" for table in others)


def landmark_csv(result: Mapping[str, Any]) -> str:
    """The summary as CSV: score, value, low, high, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["score", "value", "low", "high"])
    for name, found in result["summary"].items():
        writer.writerow([name, *("" if unknown(found[key]) else found[key] for key in ("value", "low", "high"))])
    return text.getvalue()


def compare_landmarks(result: Mapping[str, Any], other: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """A paired comparison of two results of `score_landmarks` over the same truth, image by image.

    Args:
        result: Of the predictions in question.
        other: Of those that they are held against.
        seed: Of the intervals' draws.

    Returns:
        ``{"cases", "left_out", "scores": {"localised": {...}}}`` as `saccade.study.targets.compare_targets` gives it;
        the score of an image is the share of its landmarks that are localised.

    Raises:
        InputError: If no image is in both.
    """
    first, second = ({id: one["share"] for id, one in r["cases"].items() if one["there"]} for r in (result, other))
    shared = [id for id in first if id in second]
    if not shared:
        raise InputError("against: both must score the same images, there is none in both.")
    a, b = ({id: side[id] for id in shared} for side in (first, second))
    if len(shared) < FEWEST:
        means = [sum(side.values()) / len(side) for side in (a, b)]
        pair = {"n": len(shared), **dict.fromkeys(("low", "high", "p"), float("nan"))}
        pair |= {"mean": means[0], "mean_other": means[1], "difference": means[0] - means[1]}
    else:
        found = compare_paired(a, b, seed=seed)
        pair = {
            "n": found.n, "mean": found.mean_a, "mean_other": found.mean_b, "difference": found.difference,
            "low": found.low, "high": found.high, "p": found.p,
        }  # fmt: skip
    return {
        "cases": len(shared),
        "left_out": {
            "only_here": [id for id in first if id not in second],
            "only_there": [id for id in second if id not in first],
        },
        "scores": {"localised": judged(pair, "localised", pair["p"])},
    }
