"""All scores of all labels of a case, in one pass over its voxels."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import find_objects

from saccade.errors import InputError
from saccade.metrics.inputs import Real, Spacing, as_labels, as_spacing, check_shapes
from saccade.metrics.overlap import dice_of_counts, ratio, volume_error_of_counts, voxel_ml
from saccade.metrics.surface import check_tolerance, distances_of_masks

Box = tuple[slice, ...]

HIGHER_IS_BETTER = ("dice", "precision", "recall", "surface_dice")
METRICS = ("dice", "precision", "recall", "surface_distance_mm", "hd95_mm", "surface_dice", "volume_error_ml")


def score_labels(
    prediction: ArrayLike,
    truth: ArrayLike,
    labels: Iterable[int | np.integer],
    spacing_mm: Spacing,
    *,
    tolerance_mm: Real = 1.0,
) -> dict[int, dict[str, float]]:
    """Every metric of every label of two label maps.

    Each label is looked at only inside the box around it, and its two surfaces are found and compared once.

    Args:
        prediction: Label map (i, j), (i, j, k), ...; whole numbers from 0 up.
        truth: Label map of the same shape.
        labels: Which labels to score, in this order. A label that neither map has gets nan everywhere.
        spacing_mm: Voxel size per axis.
        tolerance_mm: Of the surface Dice.

    Returns:
        ``{label: {metric: value}}`` with the metrics of `METRICS`; what a missed or spurious label gets is written in
        docs/metrics.md.

    Raises:
        InputError: If the shapes differ, a value is negative or not whole, a label to score is below 1, the spacing
            does not fit or the tolerance is negative.

    >>> score_labels([[0, 1, 1]], [[0, 1, 0]], [1], (1.0, 1.0))[1]["recall"]
    1.0
    """
    a, b = as_labels("score_labels", prediction), as_labels("score_labels", truth)
    check_shapes("score_labels", a, b)
    spacing = as_spacing("score_labels", spacing_mm, a.ndim)
    check_tolerance("score_labels", tolerance_mm)
    boxes_a, boxes_b = find_objects(a), find_objects(b)
    scores = {}
    for label in map(int, labels):
        if label < 1:
            raise InputError(f"score_labels: labels to score must be 1 or more (0 is background), got {label}.")
        box = _union(_box(boxes_a, label), _box(boxes_b, label))
        mask_a, mask_b = (np.zeros((0,) * a.ndim, bool),) * 2 if box is None else (a[box] == label, b[box] == label)
        scores[label] = _score(mask_a, mask_b, a.shape, spacing, tolerance_mm)
    return scores


def labels_in(labels: np.ndarray) -> list[int]:
    """The labels above 0 that an integer label map holds, ascending."""
    return [index + 1 for index, box in enumerate(find_objects(labels)) if box is not None]


def _score(
    prediction: np.ndarray, truth: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray, tolerance_mm: Real
) -> dict[str, float]:
    """The scores of two masks cut from arrays of the given shape."""
    counts = tuple(int(np.count_nonzero(mask)) for mask in (prediction & truth, prediction, truth))
    both, predicted, true = counts
    distances = distances_of_masks(prediction, truth, spacing, "voxel", shape)
    return {
        "dice": dice_of_counts(*counts),
        "precision": ratio(both, predicted),
        "recall": ratio(both, true),
        "surface_distance_mm": distances.mean(),
        "hd95_mm": distances.hausdorff(95.0),
        "surface_dice": distances.share_within(tolerance_mm),
        "volume_error_ml": volume_error_of_counts(*counts, voxels=int(np.prod(shape)), voxel_ml=voxel_ml(spacing)),
    }


def _box(boxes: list[Box | None], label: int) -> Box | None:
    """The box of a label in the list of ``find_objects``, which begins with label 1."""
    return boxes[label - 1] if 1 <= label <= len(boxes) else None


def _union(a: Box | None, b: Box | None) -> Box | None:
    if a is None or b is None:
        return a or b
    return tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
