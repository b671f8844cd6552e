"""What the text of targets means: a class, a level, several labels at once, or numbers."""

import math
from collections.abc import Sequence
from typing import Literal

from saccade.data.classification.case import Case
from saccade.errors import InputError

Kind = Literal["classes", "ordinal", "multi_label", "regression"]
MOST_CLASSES = 1000
_NO_NUMBERS = ("nan", "na", "inf", "-inf", "infinity", "-infinity")  # as NumPy, pandas and R write them
MOST_NUMBERED = 20  # a column with more different whole numbers than this is one of measurements


def as_number(text: str) -> float | None:
    """The finite number that a text stands for, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def kind_of(columns: Sequence[str], cases: Sequence[Case], where: str) -> Kind:
    """What targets look like: one column of text or few whole numbers holds classes, of other numbers a regression's;
    several columns of 0 and 1 are labels, of other numbers a regression's.

    Args:
        columns: Their names.
        cases: With targets.
        where: For the error.

    Raises:
        InputError: If several columns hold text, or one of numbers has NaN, NA or infinity among them.
    """
    if len(columns) == 1:
        values = {case.values[0] for case in cases}
        if text := [case for case in cases if as_number(case.values[0]) is None]:
            if len(text) < len(cases):
                _check_text(columns[0], text, where)
            return "classes"
        numbers = [float(value) for value in values]
        whole = all(number.is_integer() for number in numbers)
        return "classes" if whole and len(values) <= MOST_NUMBERED else "regression"
    found = sorted({value for case in cases for value in case.values if value})
    if words := [value for value in found if as_number(value) is None]:
        raise InputError(
            f"{where}: several target columns must hold numbers, found '{words[0]}' in {', '.join(columns)}. "
            f"Choose one: --set data.columns=[{columns[0]}]."
        )
    return "multi_label" if all(as_number(value) in (0, 1) for value in found) else "regression"


def _check_text(column: str, cases: Sequence[Case], where: str) -> None:
    """Refuse text among numbers that only says that some are unknown: the column must not become one of classes."""
    if all(case.values[0].casefold() in _NO_NUMBERS for case in cases):
        raise InputError(
            f"{where}: {column} must hold finite numbers, got '{cases[0].values[0]}' for case {cases[0].id}. "
            "Leave the cell empty where there is no target."
        )


def class_order(values: Sequence[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers where all are numbers, else of their names."""
    known = sorted(set(values))
    if all(as_number(value) is not None for value in known):
        return tuple(sorted(known, key=lambda value: (as_number(value), value)))
    return tuple(known)
