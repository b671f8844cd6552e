"""The summary: worked by hand, and the law that it cannot improve when a case gets worse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import HausdorffDistanceMetric

from saccade.metrics import METRICS, aggregate, dice, precision, recall, score_labels

HIGHER = {"dice", "precision", "recall", "surface_dice"}
NAN = float("nan")

Study = list[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """A few cases, each (prediction, truth, spacing) on a grid of its own; either mask may be empty."""
    study = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5))
        mask = arrays(np.uint8, shape, elements=st.integers(0, 1)) | st.just(np.zeros(shape, np.uint8))
        spacing = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3))
        study.append((draw(mask), draw(mask), spacing))
    return study


def means(study: Study) -> dict[str, float]:
    cases = {str(i): {"organ": score_labels(p, t, [1], s)[1]} for i, (p, t, s) in enumerate(study)}
    return {metric: values["mean"] for metric, values in aggregate(cases)["organ"].items()}


def assert_not_better(after: dict[str, float], before: dict[str, float]) -> None:
    for metric in METRICS:
        if not math.isnan(before[metric]):
            better = after[metric] - before[metric] if metric in HIGHER else before[metric] - after[metric]
            assert better <= 1e-9, (metric, before, after)


@settings(max_examples=150, deadline=None)
@given(studies(), st.data())
def test_missing_an_organ_never_improves_a_mean(study, data):
    index = data.draw(st.integers(0, len(study) - 1))
    prediction, truth, spacing = study[index]
    assume(truth.any())
    worse = [*study]
    worse[index] = (np.zeros_like(prediction), truth, spacing)
    assert_not_better(means(worse), means(study))


@settings(max_examples=150, deadline=None)
@given(studies(), st.data())
def test_inventing_an_organ_never_improves_a_mean(study, data):
    index = data.draw(st.integers(0, len(study) - 1))
    _, truth, spacing = study[index]
    invented = data.draw(arrays(np.uint8, truth.shape, elements=st.integers(0, 1)))
    assume(invented.any())
    nothing = np.zeros_like(truth)
    sound, worse = [*study], [*study]
    sound[index], worse[index] = (nothing, nothing, spacing), (invented, nothing, spacing)
    assert_not_better(means(worse), means(sound))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.data(),
    st.sampled_from(["dice", "surface_distance_mm"]),
)
def test_a_worse_score_never_improves_a_mean(values, data, metric):
    index = data.draw(st.integers(0, len(values) - 1))
    failed = data.draw(st.integers(0, len(values) - 1))

    def mean(scores: list[float]) -> float:
        cases = {
            str(i): {"organ": {"dice": 0.5, "precision": NAN if i == failed else 0.5, "recall": 0.5, metric: score}}
            for i, score in enumerate(scores)
        }
        return aggregate(cases)["organ"][metric]["mean"]

    worse = [*values]
    worse[index] = data.draw(st.floats(0, values[index]) if metric == "dice" else st.floats(values[index], 10))
    change = mean(worse) - mean(values)
    assert (change if metric == "dice" else -change) <= 1e-12


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (5, 3, 7)), arrays(bool, (5, 3, 7)), arrays(bool, (5, 3, 7)))
def test_fewer_right_or_more_wrong_voxels_never_improve_a_case(prediction, truth, change):
    assume(truth.any())
    fewer = prediction & ~(change & truth)
    more = prediction | (change & ~truth)
    assert dice(fewer, truth) <= dice(prediction, truth)
    assert dice(more, truth) <= dice(prediction, truth)
    assert recall(fewer, truth) <= recall(prediction, truth)
    assert recall(more, truth) == recall(prediction, truth)
    if fewer.any():
        assert precision(fewer, truth) <= precision(prediction, truth)
    if prediction.any():
        assert precision(more, truth) <= precision(prediction, truth)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_monai_rewards_deleting_the_worst_prediction_and_we_do_not():
    truth = np.zeros((3, 11, 7, 5), np.uint8)
    truth[:, 2:5, 2:5, 1:4] = 1
    far = truth.copy()
    far[2] = 0
    far[2, 8:10, 2:5, 1:4] = 1  # the third case is badly placed
    deleted = far.copy()
    deleted[2] = 0

    def monai_mean(prediction: np.ndarray) -> float:
        metric = HausdorffDistanceMetric(percentile=95, reduction="mean")
        one_hot = [torch.from_numpy(np.stack([1 - m, m], axis=1)).float() for m in (prediction, truth)]
        metric(*one_hot)
        return float(metric.aggregate())

    def our_mean(prediction: np.ndarray) -> float:
        return means([(p, t, (1.0, 1.0, 1.0)) for p, t in zip(prediction, truth, strict=True)])["hd95_mm"]

    assert our_mean(far) == pytest.approx(monai_mean(far), abs=1e-5)
    assert monai_mean(deleted) < monai_mean(far)
    assert our_mean(deleted) > our_mean(far)


def test_worked_by_hand():
    def scores(dice: float, precision: float | None, recall: float | None, distance: float | None) -> dict:
        return {"dice": dice, "precision": precision, "recall": recall, "surface_distance_mm": distance}

    cases = {
        "good": {"liver": scores(0.9, 0.8, 1.0, 2.0), "spleen": scores(None, None, None, None)},
        "missed": {"liver": scores(0.0, None, 0.0, 30.0), "spleen": scores(NAN, NAN, NAN, NAN)},
        "spurious": {"liver": scores(0.0, 0.0, None, 10.0)},
        "nothing": {"liver": scores(NAN, NAN, NAN, NAN)},
    }
    summary = aggregate(cases)
    counts = {"n": 3, "n_missed": 1, "n_spurious": 1}
    assert list(summary) == ["liver", "spleen"]
    assert summary["liver"]["dice"] == pytest.approx({"mean": 0.3, "std": math.sqrt(0.18), **counts})
    assert summary["liver"]["precision"]["mean"] == pytest.approx(0.8 / 3)  # undefined counts as 0
    assert summary["liver"]["recall"]["mean"] == pytest.approx(1 / 3)
    assert summary["liver"]["surface_distance_mm"]["mean"] == pytest.approx((2 + 30 + 30) / 3)  # failures: the worst
    empty = {"mean": NAN, "std": NAN, "n": 0, "n_missed": 0, "n_spurious": 0}
    assert summary["spleen"]["dice"] == pytest.approx(empty, nan_ok=True)
    assert aggregate({}) == {}
