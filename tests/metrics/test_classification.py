"""Scores of classes, labels and numbers: against scikit-learn, by hand, and what their intervals are."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from saccade.metrics.classification import (
    calibration_bins,
    quick_score,
    roc_points,
    score_classes,
    score_labels_present,
    score_numbers,
)
from saccade.metrics.ranking import auroc, average_precision, bootstrap

RNG = np.random.default_rng(0)
N = 97
TRUTH = RNG.integers(0, 3, N)
SAID = RNG.dirichlet([1, 1, 1], N) + 0.6 * np.eye(3)[TRUTH]
SAID /= SAID.sum(1, keepdims=True)


@pytest.mark.parametrize("digits", [1, 8])  # with many ties and without
def test_ranking_equals_scikit_learn_also_with_weights(digits) -> None:
    positive, scores = RNG.integers(0, 2, N), RNG.random(N).round(digits)
    weights = RNG.integers(0, 4, (5, N)).astype(float)
    for found, function in ((auroc, metrics.roc_auc_score), (average_precision, metrics.average_precision_score)):
        expected = [function(positive, scores, sample_weight=row) for row in weights]
        np.testing.assert_allclose(found(positive, scores, weights), expected, rtol=1e-12)


def test_where_ranking_has_no_answer() -> None:
    one = np.ones((1, 3))
    assert np.isnan(auroc(np.ones(3), np.arange(3.0), one))
    assert np.isnan(auroc(np.zeros(3), np.arange(3.0), one))
    assert np.isnan(average_precision(np.zeros(3), np.arange(3.0), one))
    assert roc_points(np.ones(3, bool), np.arange(3.0)) == []


def test_classes_equal_scikit_learn() -> None:
    result = score_classes(TRUTH, SAID, ["a", "b", "c"], ordinal=True)
    found = SAID.argmax(1)
    expected = {
        "accuracy": metrics.accuracy_score(TRUTH, found),
        "balanced_accuracy": metrics.balanced_accuracy_score(TRUTH, found),
        "precision": metrics.precision_score(TRUTH, found, average="macro"),
        "recall": metrics.recall_score(TRUTH, found, average="macro"),
        "f1": metrics.f1_score(TRUTH, found, average="macro"),
        "auroc": metrics.roc_auc_score(TRUTH, SAID, multi_class="ovr"),
        "auprc": metrics.average_precision_score(np.eye(3)[TRUTH], SAID),
        "log_loss": metrics.log_loss(TRUTH, SAID),
        "brier": ((SAID - np.eye(3)[TRUTH]) ** 2).sum(1).mean(),
        "kappa": metrics.cohen_kappa_score(TRUTH, found, weights="quadratic"),
        "mae_levels": np.abs(TRUTH - found).mean(),
    }
    for name, value in expected.items():
        score = result["summary"][name]
        assert score["value"] == pytest.approx(value, rel=1e-9), name
        assert score["low"] < value < score["high"]
    np.testing.assert_array_equal(result["confusion"], metrics.confusion_matrix(TRUTH, found))
    assert result["per_class"]["b"]["auroc"] == pytest.approx(metrics.roc_auc_score(TRUTH == 1, SAID[:, 1]))
    assert result["per_class"]["b"]["n"] == (TRUTH == 1).sum()
    assert quick_score("classes", TRUTH, SAID) == pytest.approx(expected["balanced_accuracy"])
    assert quick_score("ordinal", TRUTH, SAID) == pytest.approx(expected["kappa"])


def test_calibration_by_hand() -> None:
    # said 0.95 four times and right three times, said 0.55 twice and right once: (4 * 0.2 + 2 * 0.05) / 6
    said = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 1])
    assert score_classes(truth, said, ["a", "b"], ordinal=False)["summary"]["ece"]["value"] == pytest.approx(0.9 / 6)
    bins = calibration_bins(said.max(1), (said.argmax(1) == truth).astype(float))
    assert [(b["n"], b["confidence"], b["accuracy"]) for b in bins] == [
        (2, pytest.approx(0.55), 0.5), (4, pytest.approx(0.95), 0.75),
    ]  # fmt: skip


def test_a_class_that_the_truth_has_not_does_not_count_and_one_never_predicted_has_precision_0() -> None:
    said = np.array([[0.9, 0.1, 0.0, 0.0], [0.8, 0.2, 0.0, 0.0], [0.7, 0.1, 0.2, 0.0]])
    result = score_classes(np.array([0, 1, 0]), said, list("abcd"), ordinal=False)
    # a: precision 2/3, recall 1; b: precision 0, recall 0
    assert result["summary"]["precision"]["value"] == pytest.approx(1 / 3)
    assert result["summary"]["recall"]["value"] == 0.5
    assert result["per_class"]["d"]["n"] == 0
    assert np.isnan(result["summary"]["accuracy"]["low"])  # fewer than five cases say nothing


def test_labels_of_which_some_are_unknown() -> None:
    truth = RNG.integers(0, 2, (N, 2)).astype(float)
    said = np.clip(RNG.random((N, 2)) * 0.6 + 0.4 * truth, 0, 1)
    truth[:30, 1] = np.nan
    result = score_labels_present(truth, said, ["x", "y"])
    known = truth[30:, 1]
    expected = metrics.roc_auc_score(known, said[30:, 1])
    assert result["per_class"]["y"]["auroc"] == pytest.approx(expected)
    assert result["per_class"]["y"]["f1"] == pytest.approx(metrics.f1_score(known, said[30:, 1] >= 0.5))
    assert result["per_class"]["y"]["brier"] == pytest.approx(metrics.brier_score_loss(known, said[30:, 1]))
    mean = (expected + metrics.roc_auc_score(truth[:, 0], said[:, 0])) / 2
    assert result["summary"]["auroc"]["value"] == pytest.approx(mean)
    assert quick_score("multi_label", truth, said) == pytest.approx(mean)


def test_numbers_equal_libraries() -> None:
    truth = RNG.normal(5, 2, (N, 1))
    said = truth + RNG.normal(0.3, 1, (N, 1))
    result = score_numbers(truth, said, ["age"])["summary"]
    assert result["mae"]["value"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert result["rmse"]["value"] == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert result["r2"]["value"] == pytest.approx(metrics.r2_score(truth, said))
    assert result["spearman"]["value"] == pytest.approx(stats.spearmanr(truth[:, 0], said[:, 0]).statistic)
    assert quick_score("regression", truth, said) == pytest.approx(metrics.r2_score(truth, said))
    two = score_numbers(np.hstack([truth, truth]), np.hstack([said, -said]), ["age", "weight"])
    assert set(two["summary"]) == {"r2", "spearman"}  # the others have units
    assert two["summary"]["spearman"]["value"] == pytest.approx(0)


def test_the_interval_of_a_mean_is_that_of_the_bootstrap() -> None:
    values = RNG.normal(0, 1, 400)
    found = bootstrap(lambda w: {"mean": w @ values / w.sum(1)}, 400, seed=3)["mean"]
    half = 1.96 * values.std() / 20  # of the mean of 400
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert found == bootstrap(lambda w: {"mean": w @ values / w.sum(1)}, 400, seed=3)["mean"]
