"""Predictions as a table: a row for each image, read and written as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.data.classification.table import read_rows
from saccade.data.classification.targets import Kind, as_number
from saccade.errors import InputError
from saccade.files import write_text

CASE, PREDICTION, LEVEL, PREFIX = "case", "prediction", "level", "p_"


@dataclass(frozen=True)
class Table:
    """What a ``predictions.csv`` holds.

    Attributes:
        kind: Of the targets, told from the columns: ``case``, then for classes ``prediction`` and ``p_CLASS`` ..., for
            levels ``level`` and ``p_LEVEL`` ... in their order, for labels ``p_LABEL`` ..., for a regression its
            targets.
        names: Of the values.
        rows: Case -> values.
    """

    kind: Kind
    names: tuple[str, ...]
    rows: dict[str, list[float]]


def header_of(kind: Kind, names: Sequence[str]) -> list[str]:
    """The columns of a table."""
    if kind == "regression":
        return [CASE, *names]
    told = {"classes": [PREDICTION], "ordinal": [LEVEL], "multi_label": []}[kind]
    return [CASE, *told, *(f"{PREFIX}{name}" for name in names)]


def write_table(table: Table, path: Path) -> None:
    """Write a CSV atomically; numbers have six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header_of(table.kind, table.names))
    for case, values in table.rows.items():
        told = [table.names[values.index(max(values))]] if table.kind in ("classes", "ordinal") else []
        writer.writerow([case, *told, *(f"{value:.6g}" for value in values)])
    write_text(path, text.getvalue())


def read_table(path: Path) -> Table:
    """Read a CSV of predictions.

    Raises:
        InputError: If it cannot be read, has other columns, names a case twice, or has a value that is no number or,
            where it must be, no probability.
    """
    header, rows = read_rows(path)
    if header[0] != CASE or len(header) < 2:
        raise InputError(f"{path}: must be a table of predictions, case first, has {', '.join(header)}.")
    kind: Kind
    if header[1] in (PREDICTION, LEVEL):
        kind, columns = ("classes" if header[1] == PREDICTION else "ordinal"), header[2:]
    else:
        columns = header[1:]
        kind = "multi_label" if all(column.startswith(PREFIX) for column in columns) else "regression"
    if kind != "regression" and (not columns or not all(column.startswith(PREFIX) for column in columns)):
        raise InputError(f"{path}: must have a column {PREFIX}CLASS for each class, has {', '.join(header)}.")
    found: dict[str, list[float]] = {}
    for number, row in enumerate(rows, start=2):
        case = row[CASE]
        if case in found:
            raise InputError(f"{path}: line {number}: each case must have one row, got {case} again.")
        values = [as_number(row.get(column, "")) for column in columns]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            column = columns[values.index(None)]
            raise InputError(f"{path}: line {number}: {column} must be a number, got '{row.get(column, '')}'.")
        if kind != "regression" and not all(0 <= value <= 1 for value in known):
            raise InputError(
                f"{path}: line {number}: probabilities must be from 0 to 1, got {min(known)} to {max(known)}."
            )
        found[case] = known
    if not found:
        raise InputError(f"{path}: must have a row for each case, has none.")
    names = columns if kind == "regression" else [column.removeprefix(PREFIX) for column in columns]
    return Table(kind, tuple(names), found)
