"""All labels in one pass equal one label at a time; what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from saccade.errors import InputError
from saccade.metrics import (
    METRICS,
    dice,
    hausdorff95,
    precision,
    recall,
    score_labels,
    surface_dice,
    surface_distance,
    volume_error_ml,
)

SPACING = (0.7, 2.5, 1.1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_one_label_at_a_time(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
    maps = arrays(np.uint8, shape, elements=st.integers(0, 3))
    prediction, truth = data.draw(maps), data.draw(maps)
    spacing = SPACING[: len(shape)]
    scores = score_labels(prediction, truth, [3, 1, 2, 200], spacing, tolerance_mm=1.2)
    assert list(scores) == [3, 1, 2, 200]
    for label, values in scores.items():
        a, b = prediction == label, truth == label
        expected = {
            "dice": dice(a, b),
            "precision": precision(a, b),
            "recall": recall(a, b),
            "surface_distance_mm": surface_distance(a, b, spacing),
            "hd95_mm": hausdorff95(a, b, spacing),
            "surface_dice": surface_dice(a, b, spacing, tolerance_mm=1.2),
            "volume_error_ml": volume_error_ml(a, b, spacing),
        }
        assert tuple(values) == METRICS
        assert values == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_kinds_of_numbers_do_not_matter():
    labels = np.zeros((5, 7), np.int16)
    labels[1:4, 2:5] = 2
    expected = score_labels(labels, labels.T.copy().T, [2], (1, 1))
    for dtype in (np.uint8, np.uint16, np.int64, np.float32, np.float64):
        assert score_labels(labels.astype(dtype), labels, [np.int64(2)], np.array([1, 1])) == expected
    assert score_labels(labels == 2, labels == 2, [1], (1, 1))[1]["dice"] == 1


def test_label_that_nobody_has_is_not_scored():
    scores = score_labels(np.zeros((5, 7), int), np.zeros((5, 7), int), [4], (1, 1))
    assert all(math.isnan(value) for value in scores[4].values())


def test_errors_in_full():
    whole = np.zeros((2, 3), int)
    wrong = {
        "score_labels: labels must be whole numbers, got 0.5.": (whole + 0.5, whole, [1], (1, 1), 1),
        "score_labels: labels must be whole numbers, got nan.": (whole, whole * math.nan, [1], (1, 1), 1),
        "score_labels: labels must lie in 0..65535, got -1..-1.": (whole - 1, whole, [1], (1, 1), 1),
        "score_labels: labels must lie in 0..65535, got 70000..70000.": (whole + 70000.0, whole, [1], (1, 1), 1),
        "score_labels: labels to score must be 1 or more (0 is background), got 0.": (whole, whole, [0], (1, 1), 1),
        "score_labels: prediction and truth must have one shape, got (2, 3) and (3, 2).": (
            whole,
            whole.T,
            [1],
            (1, 1),
            1,
        ),
        "score_labels: spacing_mm must be 2 positive numbers, one per axis, got (1, -1).": (
            whole,
            whole,
            [1],
            (1, -1),
            1,
        ),
        "score_labels: tolerance_mm must be 0 or more, got -0.5.": (whole, whole, [1], (1, 1), -0.5),
    }
    for message, (prediction, truth, labels, spacing, tolerance) in wrong.items():
        with pytest.raises(InputError) as error:
            score_labels(prediction, truth, labels, spacing, tolerance_mm=tolerance)
        assert str(error.value) == message
