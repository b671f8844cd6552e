"""Scores of detections as tables."""

from collections.abc import Mapping
from typing import Any

from saccade.metrics.intervals import FEWEST
from saccade.study.tables import Table, as_csv, number, span, unknown

# Name of each score for people, in the order in which they are shown.
SCORES = {"ap50": "AP50", "ap": "AP", "sensitivity": "Sensitivity"}
DESCRIPTIONS = {
    "recall_at_4": "Objects among the four surest detections",
    "descriptors": "Descriptors right, of what was found",
    "descriptors_end_to_end": "Descriptors right, of all objects",
    "sentence": "Sentences right, of what was found",
    "sentence_end_to_end": "Sentences right, of all objects",
}
OF_DESCRIPTORS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "end_to_end": "Of all objects"}


def detection_tables(result: Mapping[str, Any]) -> list[Table]:
    """Summary with intervals, classes, sensitivity at false positives, working point, and the comparison, if any."""
    summary, images = result["summary"], len(result["cases"])
    rows = [["Score", "Value", "95 % interval"]]
    rows += [[title, number(summary[score]["value"]), span(summary[score])] for score, title in SCORES.items()]
    classes = [["Class", "Objects", *(cell for title in SCORES.values() for cell in (title, "95 % interval"))]]
    rates = [["Class"]]
    for name, scores in summary["per_class"].items():
        cells = [cell for score in SCORES for cell in (number(scores[score]["value"]), span(scores[score]))]
        classes.append([name, str(scores["n"]), *cells])
        rates[0] = ["Class", *scores["sensitivity_at"]]
        rates.append([name, *map(number, scores["sensitivity_at"].values())])
    tables = [
        Table(f"means over classes, {images} image(s), intervals from bootstrap over images", rows),
        Table("class by class", classes),
        Table("sensitivity at false positives an image (FROC)", rates),
    ]
    if not unknown(result["working_point"]["score"]):
        tables.append(_working_point(result))
    if "per_descriptor" in summary:
        tables += _descriptions(summary)
    if "against" in result:
        tables.append(detection_comparison(result["against"]))
    return tables


def detection_csv(result: Mapping[str, Any]) -> str:
    """The scores as CSV: class (none for the mean over classes), score, value, low, high, numbers in full."""
    rows: list[list[Any]] = [["class", "score", "value", "low", "high"]]
    for name, scores in {"": result["summary"], **result["summary"]["per_class"]}.items():
        for score in (key for key in (*SCORES, *DESCRIPTIONS) if key in scores):
            rows.append([name, score, *(scores[score][key] for key in rows[0][2:])])
    return as_csv(rows)


def detection_comparison(against: Mapping[str, Any]) -> Table:
    """A paired comparison's rows."""
    rows = [["Score", "Here", "There", "Difference", "95 % interval", "Verdict"]]
    for score, title in SCORES.items():
        pair = against["scores"][score]
        means = [number(pair[key]) for key in ("mean", "mean_other", "difference")]
        rows.append([title, *means, span(pair), verdict(pair)])
    return Table(f"against the other, over {against['cases']} shared image(s)", rows, keep=1)


def verdict(pair: Mapping[str, Any]) -> str:
    """What a difference and its interval say; higher is better."""
    if unknown(pair["low"]):
        return f"not tested: at least {FEWEST} images are needed"
    if pair["low"] <= 0 <= pair["high"]:
        return "difference not shown: the interval includes zero"
    return "better" if pair["low"] > 0 else "worse"


def _descriptions(summary: Mapping[str, Any]) -> list[Table]:
    """What is said of what was found."""
    rows = [["Score", "Value", "95 % interval"]]
    rows += [[title, number(summary[score]["value"]), span(summary[score])] for score, title in DESCRIPTIONS.items()]
    each = [["Descriptor", "Objects", "Found", *(c for t in OF_DESCRIPTORS.values() for c in (t, "95 % interval"))]]
    for name, scores in summary["per_descriptor"].items():
        cells = [cell for score in OF_DESCRIPTORS for cell in (number(scores[score]["value"]), span(scores[score]))]
        each.append([name, str(scores["n"]), str(scores["found"]), *cells])
    return [
        Table("descriptions: a region is right from an overlap of one half on", rows),
        Table("descriptor by descriptor, of what was found", each),
    ]


def _working_point(result: Mapping[str, Any]) -> Table:
    point, cases = result["working_point"], result["cases"].values()
    counts = [str(sum(case[what] for case in cases)) for what in ("hits", "missed", "false_positives")]
    rows = [["Score from", "Precision", "Recall", "F1", "Hits", "Missed", "False positives"]]
    rows.append([*(number(point[key]) for key in ("score", "precision", "recall", "f1")), *counts])
    return Table("working point: the score with the highest F1, all classes together", rows)
