"""Results as tables: an organ per row, a metric per column, mean and standard deviation over cases, intervals."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from saccade.errors import unknown_name
from saccade.metrics.inputs import Real

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


class Table(NamedTuple):
    """Rows of cells, header first; ``keep`` of the last columns matter more than those before them."""

    title: str
    rows: list[list[str]]
    keep: int = 0


def results_table(result: Mapping[str, Any], fmt: str = "markdown") -> str:
    """The summary of an evaluation as text.

    Args:
        result: What `evaluate_folders` returns, or its JSON.
        fmt: ``"markdown"``: ``0.840 ± 0.087`` in each cell, as papers print it. ``"csv"``: numbers in full, mean and
            standard deviation in columns of their own, and last both ends of the 95 % intervals.

    Returns:
        The table, ending with a line break. An organ that no case has gets ``-`` (Markdown) or nothing (CSV).

    Raises:
        InputError: If the format is unknown.
    """
    if fmt not in FORMATS:
        raise unknown_name("results_table", "format", fmt, list(FORMATS))
    if fmt == "csv":
        return _csv(result["summary"], result.get("intervals"))
    return markdown(table_rows(result))


def markdown(table: list[list[str]]) -> str:
    """Rows, header first, as a Markdown table."""
    header, *rows = table
    lines = [
        header,
        [":--", *["--:"] * (len(header) - 1)],
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_markdown(tables: Sequence[Table]) -> str:
    """Tables as Markdown: the first, then each of the others under its title."""
    first, *others = tables
    return markdown(first.rows) + "".join(f"\n**{table.title}**\n\n{markdown(table.rows)}" for table in others)


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Rows, header first, as CSV: numbers in full, nothing where one is not known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(
            ["" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in row]
        )
    return text.getvalue()


def summary_csv(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores as CSV: score, value, low, high, numbers in full."""
    ends = ("value", "low", "high")
    return as_csv([["score", *ends], *([name, *map(found.get, ends)] for name, found in summary.items())])


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


def interval_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The 95 % intervals of the means, header first; the header alone where no organ has the cases for one."""
    rows = [[organ, *(span(metrics[metric]) for metric in COLUMNS)] for organ, metrics in result["intervals"].items()]
    return [["Organ", *COLUMNS.values()], *(row for row in rows if set(row[1:]) != {"-"})]


def span(interval: Mapping[str, Any]) -> str:
    """Both ends of an interval."""
    return "-" if unknown(interval["low"]) else f"{interval['low']:.3f} to {interval['high']:.3f}"


def number(value: Real | None, form: str = ".3f") -> str:
    """A number for a cell, ``-`` where there is none."""
    return "-" if unknown(value) else format(value, form)


def unknown(value: Real | None) -> bool:
    """Undefined: nan, or null in JSON."""
    return value is None or math.isnan(value)


def _csv(
    summary: Mapping[str, Mapping[str, Mapping[str, Any]]],
    intervals: Mapping[str, Mapping[str, Mapping[str, Any]]] | None,
) -> str:
    parts = [(metric, part) for metric in COLUMNS for part in ("mean", "std")]
    ends = [] if intervals is None else [(metric, end) for metric in COLUMNS for end in ("low", "high")]
    rows: list[list[Any]] = [["organ", *map("_".join, parts), *COUNTS, *map("_".join, ends)]]
    for organ, metrics in summary.items():
        numbers = [metrics[metric][part] for metric, part in parts]
        counts = [metrics["dice"][count] for count in COUNTS]
        both = [] if intervals is None else [intervals[organ][metric][end] for metric, end in ends]
        rows.append([organ, *numbers, *counts, *both])
    return as_csv(rows)


def _cell(metric: Mapping[str, Any]) -> str:
    return "-" if unknown(metric["mean"]) else f"{metric['mean']:.3f} ± {metric['std']:.3f}"
