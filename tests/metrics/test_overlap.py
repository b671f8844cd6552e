"""Dice, precision, recall and volume error: numbers worked by hand, empty masks, errors."""

import math

import numpy as np
import pytest

from saccade.errors import InputError
from saccade.metrics import dice, precision, recall, volume_error_ml


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Prediction of 4 voxels, truth of 5, 3 of them shared."""
    prediction, truth = np.zeros((5, 7), bool), np.zeros((5, 7), bool)
    prediction[1, 1:5] = True
    truth[1, 2:7] = True
    return prediction, truth


def test_values_worked_by_hand():
    prediction, truth = masks()
    assert dice(prediction, truth) == 2 * 3 / (4 + 5)
    assert precision(prediction, truth) == 3 / 4
    assert recall(prediction, truth) == 3 / 5
    # one pixel of 2 x 5 mm, 1 mm thick, is 10 mm3 = 0.01 ml
    assert volume_error_ml(prediction, truth, (2, 5)) == pytest.approx(0.01)
    assert volume_error_ml(truth, prediction, (2, 5)) == pytest.approx(0.01)


def test_what_is_not_zero_is_in_the_mask():
    prediction, truth = masks()
    assert dice(prediction * 7, truth.astype(float)) == dice(prediction, truth)


def test_empty_masks():
    _, truth = masks()
    nothing = np.zeros_like(truth)
    assert math.isnan(dice(nothing, nothing))
    assert math.isnan(volume_error_ml(nothing, nothing, (2, 5)))
    assert dice(nothing, truth) == dice(truth, nothing) == 0
    assert math.isnan(precision(nothing, truth))
    assert recall(nothing, truth) == 0
    assert precision(truth, nothing) == 0
    assert math.isnan(recall(truth, nothing))
    # the largest error that 35 pixels of 0.01 ml allow: 30 where the truth has 5, all 35 where it has none
    assert volume_error_ml(nothing, truth, (2, 5)) == pytest.approx(0.30)
    assert volume_error_ml(truth, nothing, (2, 5)) == pytest.approx(0.35)


def test_errors_in_full():
    with pytest.raises(InputError) as error:
        dice(np.ones((2, 3)), np.ones((3, 2)))
    assert str(error.value) == "dice: prediction and truth must have one shape, got (2, 3) and (3, 2)."
    for spacing in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(InputError) as error:
            volume_error_ml(np.ones((2, 3)), np.ones((2, 3)), spacing)
        expected = f"volume_error_ml: spacing_mm must be 2 positive numbers, one per axis, got {spacing}."
        assert str(error.value) == expected
