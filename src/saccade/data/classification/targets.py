"""What the text of targets means: a class, a level, several labels at once, or numbers."""

import math
from collections.abc import Sequence
from typing import Literal

from saccade.data.classification.case import Case
from saccade.errors import InputError

Kind = Literal["classes", "ordinal", "multi_label", "regression"]
MOST_CLASSES = 1000
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
        InputError: If several columns hold text.
    """
    if len(columns) == 1:
        values = {case.values[0] for case in cases}
        numbers = [as_number(value) for value in values]
        if any(number is None for number in numbers):
            return "classes"
        whole = all(float(number or 0).is_integer() for number in numbers)
        return "classes" if whole and len(values) <= MOST_NUMBERED else "regression"
    found = {value for case in cases for value in case.values if value}
    numbers = [as_number(value) for value in found]
    if any(number is None for number in numbers):
        text = next(value for value, number in zip(found, numbers, strict=True) if number is None)
        raise InputError(
            f"{where}: several target columns must hold numbers, found '{text}' in {', '.join(columns)}. "
            f"Choose one: --set data.columns=[{columns[0]}]."
        )
    return "multi_label" if all(number in (0, 1) for number in numbers) else "regression"


def class_order(values: Sequence[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers where all are numbers, else of their names."""
    known = sorted(set(values))
    if all(as_number(value) is not None for value in known):
        return tuple(sorted(known, key=lambda value: (as_number(value), value)))
    return tuple(known)
