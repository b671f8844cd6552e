"""Voxel-counting scores of two masks: Dice, precision, recall, volume error.

The rules for empty masks are those of docs/metrics.md: nothing to find and nothing found is not scored (nan).
"""

import numpy as np
from numpy.typing import ArrayLike

from saccade.metrics.inputs import Spacing, as_masks, as_spacing

MM3_PER_ML = 1000.0


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Share of agreement of two masks, 0 (disjoint) to 1 (equal): ``2 |a and b| / (|a| + |b|)``.

    Args:
        a: Mask of any shape; what is not zero belongs to it.
        b: Mask of the same shape. Dice is symmetric.

    Returns:
        Number in [0, 1]; 0 when one mask alone is empty, nan when both are.

    Raises:
        InputError: If the shapes differ.

    >>> dice([1, 1, 0, 0], [0, 1, 1, 1])
    0.4
    """
    return dice_of_counts(*_counts("dice", a, b))


def precision(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Share of the predicted voxels that are right: ``TP / (TP + FP)``.

    Returns:
        Number in [0, 1]; nan (undefined) when the prediction is empty. A summary counts that as 0 where the truth is
        not empty, see `aggregate`.

    Raises:
        InputError: If the shapes differ.

    >>> precision([1, 1, 0, 0], [0, 1, 1, 1])
    0.5
    """
    both, predicted, _ = _counts("precision", prediction, truth)
    return ratio(both, predicted)


def recall(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Share of the true voxels that were found: ``TP / (TP + FN)``.

    Returns:
        Number in [0, 1]; nan (undefined) when the truth is empty. A summary counts that as 0 where the prediction is
        not empty, see `aggregate`.

    Raises:
        InputError: If the shapes differ.

    >>> recall([1, 1, 0, 0, 0], [0, 1, 1, 1, 1])
    0.25
    """
    both, _, true = _counts("recall", prediction, truth)
    return ratio(both, true)


def volume_error_ml(prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing) -> float:
    """How far the predicted volume is from the true one, without sign: ``|V(prediction) - V(truth)|``.

    Without sign, because too large in one case must not make up for too small in another.

    Args:
        prediction: Mask of any shape; what is not zero belongs to it.
        truth: Mask of the same shape.
        spacing_mm: Voxel size per axis. A pixel of an image counts as 1 mm thick.

    Returns:
        Millilitres, 0 at best. When one mask alone is empty the largest error that the array allows, see
        docs/metrics.md; nan when both are empty.

    Raises:
        InputError: If the shapes differ or the spacing does not fit.

    >>> volume_error_ml([1, 1, 0], [1, 0, 0], (500.0,))
    0.5
    """
    counts = _counts("volume_error_ml", prediction, truth)
    shape = np.shape(truth)
    spacing = as_spacing("volume_error_ml", spacing_mm, len(shape))
    return volume_error_of_counts(*counts, voxels=int(np.prod(shape)), voxel_ml=voxel_ml(spacing))


def voxel_ml(spacing_mm: np.ndarray) -> float:
    """Volume of one voxel in millilitres."""
    return float(np.prod(spacing_mm)) / MM3_PER_ML


def dice_of_counts(both: int, predicted: int, true: int) -> float:
    """Dice from the voxels in both masks, in the prediction, and in the truth."""
    return ratio(2 * both, predicted + true)


def volume_error_of_counts(both: int, predicted: int, true: int, *, voxels: int, voxel_ml: float) -> float:
    """Volume error from counts; ``voxels`` is how many the whole array has."""
    if predicted == true == 0:
        return float("nan")
    if predicted == 0 or true == 0:
        # V(truth) would let a case improve by dropping an organ that it had drawn more than twice too large.
        return max(true, voxels - true) * voxel_ml
    return abs(predicted - true) * voxel_ml


def ratio(part: int, whole: int) -> float:
    """``part / whole``, nan when there is no whole."""
    return part / whole if whole else float("nan")


def _counts(who: str, prediction: ArrayLike, truth: ArrayLike) -> tuple[int, int, int]:
    a, b = as_masks(who, prediction, truth)
    return int(np.count_nonzero(a & b)), int(np.count_nonzero(a)), int(np.count_nonzero(b))
