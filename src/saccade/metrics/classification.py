"""Scores of classes, levels, labels and numbers over cases, with 95 % bootstrap intervals."""

import warnings
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics

from saccade.metrics.ranking import auroc, average_precision, bootstrap

BINS = 15  # of the calibration curve, equally wide
TINY = 1e-12
# What tells the best epoch: its column behind "val_", and its name.
SCORE_OF = {
    "classes": ("balanced_accuracy", "balanced accuracy"),
    "ordinal": ("kappa", "kappa"),
    "multi_label": ("auroc", "AUROC"),
    "regression": ("r2", "R2"),
}
Result = dict[str, Any]


def quick_score(kind: str, targets: np.ndarray, said: np.ndarray) -> float:
    """The one score that tells the best epoch; 0 where it is not defined.

    Args:
        kind: One of `SCORE_OF`.
        targets: (n,) numbers of classes, or (n, t) with NaN where there is no target.
        said: (n, k) probabilities or (n, t) numbers.
    """
    with warnings.catch_warnings(action="ignore"):  # of classes that no case has
        if kind == "classes":
            value = metrics.balanced_accuracy_score(targets, said.argmax(1))
        elif kind == "ordinal":
            value = metrics.cohen_kappa_score(targets, said.argmax(1), weights="quadratic")
        else:
            one = np.ones((1, len(targets)))
            values = []
            for truth, found in zip(targets.T, said.T, strict=True):
                known = ~np.isnan(truth)
                if kind == "multi_label":
                    values.append(float(auroc(truth[known] == 1, found[known], one[:, known])[0]))
                else:
                    values.append(_r2(truth[known], found[known]))
            value = np.nanmean(values)
    return float(np.nan_to_num(value))


def score_classes(truth: np.ndarray, said: np.ndarray, names: Sequence[str], *, ordinal: bool, seed: int = 0) -> Result:
    """Scores of one class per case.

    Macro means are over the classes that the truth has. A class that is never predicted has precision 0.

    Args:
        truth: (n,) numbers of classes.
        said: (n, k) probabilities.
        names: Of the classes.
        ordinal: Whether the classes have an order: then distance in levels and quadratically weighted kappa are given.
        seed: Of the bootstrap.

    Returns:
        ``{"summary": {score: {"value", "low", "high"}}, "per_class": {name: {score: value}}, "confusion": [[n]]}``
        with the truth along the first axis of ``confusion``.
    """
    n, k = said.shape
    found, present = said.argmax(1), np.unique(truth)
    hits = np.eye(k)[truth] * np.eye(k)[found]
    chosen, is_class = np.eye(k)[found], np.eye(k)[truth]
    right = said[np.arange(n), truth]
    values = {"brier": ((said - is_class) ** 2).sum(1), "log_loss": -np.log(np.clip(right, TINY, 1))}
    if ordinal:
        values["mae_levels"] = np.abs(found - truth).astype(float)
    confidence, correct = said.max(1), (found == truth).astype(float)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        tp, support, predicted = weights @ hits, weights @ is_class, weights @ chosen
        whole = weights.sum(1)
        there = support > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = np.where(there, tp / support, nan)
            precision = np.where(there, np.where(predicted > 0, tp / predicted, 0.0), nan)
            f1 = np.where(there, 2 * tp / (support + predicted), nan)
        given = {"accuracy": tp.sum(1) / whole, "balanced_accuracy": _mean(recall), "precision": _mean(precision),
                 "recall": _mean(recall), "f1": _mean(f1)}  # fmt: skip
        given["auroc"] = _mean(np.stack([auroc(truth == c, said[:, c], weights) for c in present], 1))
        given["auprc"] = _mean(np.stack([average_precision(truth == c, said[:, c], weights) for c in present], 1))
        given |= {name: weights @ value / whole for name, value in values.items()}
        given["ece"] = _expected_calibration_error(confidence, correct, weights)
        if ordinal:
            given["kappa"] = _weighted_kappa(truth, found, k, weights)
        return given

    by_hand = {
        "accuracy": metrics.accuracy_score(truth, found),
        "precision": metrics.precision_score(truth, found, labels=present, average="macro", zero_division=0),
        "recall": metrics.recall_score(truth, found, labels=present, average="macro", zero_division=0),
        "f1": metrics.f1_score(truth, found, labels=present, average="macro", zero_division=0),
    }
    result = {"summary": _summary(statistics, n, seed, by_hand)}
    each = metrics.precision_recall_fscore_support(truth, found, labels=np.arange(k), zero_division=0)
    one = np.ones((1, n))
    result["per_class"] = {
        name: {
            "n": int(each[3][c]),
            **{score: float(each[row][c]) for row, score in enumerate(("precision", "recall", "f1"))},
            "auroc": float(auroc(truth == c, said[:, c], one)[0]),
            "auprc": float(average_precision(truth == c, said[:, c], one)[0]),
        }
        for c, name in enumerate(names)
    }
    result["confusion"] = metrics.confusion_matrix(truth, found, labels=np.arange(k)).tolist()
    return result


def score_labels_present(truth: np.ndarray, said: np.ndarray, names: Sequence[str], *, seed: int = 0) -> Result:
    """Scores of several labels per case, at probability 1/2 where a decision is needed.

    Args:
        truth: (n, k): 0, 1, or NaN where nobody said.
        said: (n, k) probabilities.
        names: Of the labels.
        seed: Of the bootstrap.

    Returns:
        As `score_classes`, without ``confusion``; the summary has the means over labels.
    """
    known = ~np.isnan(truth)
    is_there, called = known & (truth == 1), known & (said >= 0.5)
    right = known & ((said >= 0.5) == (truth == 1))

    def each(weights: np.ndarray) -> dict[str, np.ndarray]:
        tp, support, predicted = weights @ (is_there & called), weights @ is_there, weights @ called
        counted = weights @ known
        with np.errstate(invalid="ignore", divide="ignore"):
            given = {
                "accuracy": np.where(counted > 0, (weights @ right) / counted, nan),
                "precision": np.where(predicted > 0, tp / predicted, np.where(support > 0, 0.0, nan)),
                "recall": np.where(support > 0, tp / support, nan),
                "f1": np.where(support + predicted > 0, 2 * tp / (support + predicted), nan),
                "brier": weights @ np.where(known, (said - np.nan_to_num(truth)) ** 2, 0.0) / counted,
            }
        for name, function in (("auroc", auroc), ("auprc", average_precision)):
            columns = range(truth.shape[1])
            given[name] = np.stack(
                [function(is_there[known[:, c], c], said[known[:, c], c], weights[:, known[:, c]]) for c in columns], 1
            )
        return given

    single = each(np.ones((1, len(truth))))
    return {
        "summary": _summary(lambda weights: {name: _mean(v) for name, v in each(weights).items()}, len(truth), seed),
        "per_class": {
            name: {"n": int(is_there[:, c].sum()), **{score: float(v[0, c]) for score, v in single.items()}}
            for c, name in enumerate(names)
        },
    }


def score_numbers(truth: np.ndarray, said: np.ndarray, names: Sequence[str], *, seed: int = 0) -> Result:
    """Scores of a regression: MAE, RMSE, R2 and Spearman's rank correlation of each target.

    Args:
        truth: (n, t), NaN where there is no target.
        said: (n, t).
        names: Of the targets.
        seed: Of the bootstrap.

    Returns:
        ``{"summary": ..., "per_class": {name: ...}}``; with several targets the summary has the means of R2 and rank
        correlation alone, as the others have units.
    """

    def each(weights: np.ndarray, c: int) -> dict[str, np.ndarray]:
        known = ~np.isnan(truth[:, c])
        y, p, w = truth[known, c], said[known, c], weights[:, known]
        whole = w.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = (w @ y) / whole
            spread = (w * (y - middle[:, None]) ** 2).sum(1)
            squares = w @ (y - p) ** 2
            return {
                "mae": w @ np.abs(y - p) / whole,
                "rmse": np.sqrt(squares / whole),
                "r2": np.where(spread > 0, 1 - squares / spread, nan),
                "spearman": _correlation(stats.rankdata(y), stats.rankdata(p), w),
            }

    def summary(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = [each(weights, c) for c in range(truth.shape[1])]
        wanted = found[0] if len(found) == 1 else ("r2", "spearman")
        return {score: _mean(np.stack([one[score] for one in found], 1)) for score in wanted}

    one = np.ones((1, len(truth)))
    return {
        "summary": _summary(summary, len(truth), seed),
        "per_class": {
            name: {"n": int((~np.isnan(truth[:, c])).sum()), **{k: float(v[0]) for k, v in each(one, c).items()}}
            for c, name in enumerate(names)
        },
    }


def calibration_bins(confidence: np.ndarray, correct: np.ndarray) -> list[dict[str, Any]]:
    """How often what was said with some confidence is right: 15 bins, those that hold a case.

    Args:
        confidence: (n,) 0 to 1.
        correct: (n,) 0 or 1.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "n": int((place == b).sum()),
            "confidence": float(confidence[place == b].mean()),
            "accuracy": float(correct[place == b].mean()),
        }
        for b in np.unique(place)
    ]


def roc_points(positive: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """Corners of the ROC curve, (false positive rate, true positive rate); none where it is not defined."""
    if not 0 < positive.sum() < len(positive):
        return []
    fpr, tpr, _ = metrics.roc_curve(positive, scores)
    return [(float(x), float(y)) for x, y in zip(fpr, tpr, strict=True)]


def _summary(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]], n: int, seed: int, better: dict[str, float] | None = None
) -> dict[str, dict[str, float]]:
    """Each score with its interval; ``better`` has values of a library that are to be given."""
    values = {name: float(value[0]) for name, value in statistics(np.ones((1, n))).items()}
    values |= {name: float(value) for name, value in (better or {}).items()}
    ends = bootstrap(statistics, n, seed=seed)
    return {name: {"value": value, "low": ends[name][0], "high": ends[name][1]} for name, value in values.items()}


def _mean(table: np.ndarray) -> np.ndarray:
    """Mean over the second axis of what is defined."""
    known = ~np.isnan(table)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, table, 0.0).sum(1) / np.maximum(count, 1), nan)


def _weighted_kappa(truth: np.ndarray, found: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
    """Cohen, 1968, squared distances: 1 minus observed over expected disagreement; nan where none is expected."""
    apart = (np.arange(k)[:, None] - np.arange(k)) ** 2
    whole = weights.sum(1)
    rows, columns = weights @ np.eye(k)[truth], weights @ np.eye(k)[found]
    expected = np.einsum("ra,ab,rb->r", rows, apart.astype(float), columns) / whole
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - weights @ apart[truth, found] / expected, nan)


def _expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Naeini et al., 2015: |accuracy - confidence| of 15 bins of the highest probability, weighted by their cases."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = weights @ (np.eye(BINS)[place] * (correct - confidence)[:, None])
    return np.abs(gaps).sum(1) / weights.sum(1)


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's of fixed values: over ranks among all cases that of Spearman, in draws close to it."""
    whole = weights.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        dx, dy = (v - ((weights @ v) / whole)[:, None] for v in (x, y))
        spread = (weights * dx**2).sum(1) * (weights * dy**2).sum(1)
        return np.where(spread > 0, (weights * dx * dy).sum(1) / np.sqrt(spread), nan)


def _r2(truth: np.ndarray, said: np.ndarray) -> float:
    return float(metrics.r2_score(truth, said)) if len(truth) > 1 else nan
