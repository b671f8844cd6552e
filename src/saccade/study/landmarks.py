"""Scores of landmarks as tables, and two sets of predictions of the same cases held against each other."""

from collections.abc import Mapping
from typing import Any

from saccade.errors import InputError
from saccade.study.pairs import comparison_table, judged, left_out, paired
from saccade.study.tables import Table, number, span

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
    pair = paired(a, b, seed=seed)
    return {
        "cases": len(shared),
        "left_out": left_out(first, second),
        "scores": {"localised": judged(pair, "localised", pair["p"])},
    }
