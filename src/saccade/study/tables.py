"""Results as tables: an organ per row, a metric per column, mean and standard deviation over cases."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from saccade.errors import unknown_name

FORMATS = ("markdown", "csv")

# Names, order and three decimals are those of the tables of Oktay et al., 2018; what they do not report comes after.
COLUMNS = {
    "dice": "DSC",
    "precision": "Precision",
    "recall": "Recall",
    "surface_distance_mm": "S2S (mm)",
    "hd95_mm": "HD95 (mm)",
    "surface_dice": "Surface Dice",
    "volume_error_ml": "Volume error (ml)",
}
COUNTS = {"n": "Cases", "n_missed": "Missed", "n_spurious": "Spurious"}


def results_table(result: Mapping[str, Any], fmt: str = "markdown") -> str:
    """The summary of an evaluation as text.

    Args:
        result: What `evaluate_folders` returns, or its JSON.
        fmt: ``"markdown"``: ``0.840 ± 0.087`` in each cell, as papers print it. ``"csv"``: numbers in full, mean and
            standard deviation in columns of their own.

    Returns:
        The table, ending with a line break. An organ that no case has gets ``-`` (Markdown) or nothing (CSV).

    Raises:
        InputError: If the format is unknown.
    """
    if fmt not in FORMATS:
        raise unknown_name("results_table", "format", fmt, list(FORMATS))
    if fmt == "csv":
        return _csv(result["summary"])
    header, *rows = table_rows(result)
    lines = [
        header,
        [":--", *["--:"] * (len(header) - 1)],
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The Markdown table's cells, header first, for whoever draws them in another way."""
    header = ["Organ", *COLUMNS.values(), *COUNTS.values()]
    rows = [
        [
            organ,
            *(_cell(metrics[metric]) for metric in COLUMNS),
            *(str(metrics["dice"][count]) for count in COUNTS),
        ]
        for organ, metrics in result["summary"].items()
    ]
    return [header, *rows]


def _csv(summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["organ", *(f"{metric}_{part}" for metric in COLUMNS for part in ("mean", "std")), *COUNTS])
    for organ, metrics in summary.items():
        numbers = [metrics[metric][part] for metric in COLUMNS for part in ("mean", "std")]
        writer.writerow(
            [organ, *("" if _unknown(n) else n for n in numbers), *(metrics["dice"][count] for count in COUNTS)]
        )
    return text.getvalue()


def _cell(metric: Mapping[str, Any]) -> str:
    return "-" if _unknown(metric["mean"]) else f"{metric['mean']:.3f} ± {metric['std']:.3f}"


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)
