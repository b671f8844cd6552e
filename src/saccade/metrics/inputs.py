"""What every metric asks of its masks and of the spacing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from saccade.errors import InputError

# Run-time checkers take `float` at its word; whole millimetres are numbers too.
Real = float | int
Spacing = Sequence[Real] | np.ndarray

MAX_LABEL = 65535  # what label files hold


def as_masks(who: str, prediction: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays as booleans (what is not zero belongs to the structure), of one shape.

    Raises:
        InputError: If the shapes differ.
    """
    a, b = np.asarray(prediction), np.asarray(truth)
    check_shapes(who, a, b)
    return a.astype(bool, copy=False), b.astype(bool, copy=False)


def check_shapes(who: str, prediction: np.ndarray, truth: np.ndarray) -> None:
    """Refuse two arrays of different shape."""
    if prediction.shape != truth.shape:
        raise InputError(f"{who}: prediction and truth must have one shape, got {prediction.shape} and {truth.shape}.")


def as_spacing(who: str, spacing_mm: Spacing, axes: int) -> np.ndarray:
    """The spacing as float64, one positive number of millimetres per axis.

    Raises:
        InputError: If there are more or fewer numbers than axes, or one is not above zero.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    if spacing.shape != (axes,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise InputError(f"{who}: spacing_mm must be {axes} positive numbers, one per axis, got {spacing_mm}.")
    return spacing


def as_labels(who: str, labels: ArrayLike) -> np.ndarray:
    """A label map as an array of integers from 0 to 65535; floats that hold whole numbers are converted.

    Raises:
        InputError: If a value is none of these.
    """
    array = np.asarray(labels)
    if array.dtype == bool:
        return array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        whole = np.isfinite(array) & (array == np.rint(array))
        if not whole.all():
            raise InputError(f"{who}: labels must be whole numbers, got {array[~whole].flat[0]:g}.")
    if array.size and not (array.min() >= 0 and array.max() <= MAX_LABEL):
        raise InputError(f"{who}: labels must lie in 0..{MAX_LABEL}, got {array.min():g}..{array.max():g}.")
    return array if np.issubdtype(array.dtype, np.integer) else array.astype(np.uint16)
