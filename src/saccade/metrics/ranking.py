"""How well scores rank what they are to find, for many weightings of the same cases at once: what a bootstrap needs."""

from collections.abc import Callable, Mapping
from math import nan

import numpy as np

from saccade.metrics.intervals import FEWEST, LEVEL

DRAWS = 1000
AT_ONCE = 4_000_000  # weights held in memory
Statistics = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def auroc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive case scores higher than a negative one, ties counting half.

    Args:
        positive: (n,) whether each case is what is looked for.
        scores: (n,) higher for what is looked for.
        weights: (draws, n) how often each case counts.

    Returns:
        (draws,), nan where there is nothing positive or nothing negative.

    >>> auroc(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.7]), np.ones((1, 3)))
    array([0.75])
    """
    pos, neg = _sums(positive, scores, weights)
    below = neg.cumsum(1) - neg
    whole = pos.sum(1) * neg.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, (pos * (below + neg / 2)).sum(1) / whole, nan)


def average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve as a sum over thresholds, each precision times the recall it adds.

    Args and returns as `auroc`; nan where there is nothing positive.

    >>> average_precision(np.array([0, 1, 1]), np.array([0.8, 0.1, 0.9]), np.ones((1, 3))).round(4)
    array([0.8333])
    """
    pos, neg = (part[:, ::-1] for part in _sums(positive, scores, weights))
    found, all_ = pos.cumsum(1), (pos + neg).cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(all_ > 0, found / all_, 0.0)
        return np.where(found[:, -1] > 0, (pos * precision).sum(1) / found[:, -1], nan)


def bootstrap(statistics: Statistics, cases: int, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals over 1,000 draws of as many cases with replacement.

    Args:
        statistics: From weights (draws, cases) to values (draws,) by name.
        cases: How many there are; with fewer than 5 the ends are nan.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    size = max(1, min(DRAWS, AT_ONCE // max(1, cases)))
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, DRAWS, size):
        count = min(size, DRAWS - start)
        weights = generator.multinomial(cases, np.full(cases, 1 / cases), size=count).astype(float)
        for name, values in statistics(weights).items():
            found.setdefault(name, []).append(values)
    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    intervals = {}
    for name, parts in found.items():
        values = np.concatenate(parts)
        known = values[~np.isnan(values)]
        low, high = np.quantile(known, ends) if len(known) and cases >= FEWEST else (nan, nan)
        intervals[name] = (float(low), float(high))
    return intervals


def _sums(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positive and negative cases for each different score, lowest first: (draws, scores)."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    flags = np.asarray(positive, bool)[order]
    sorted_ = weights[:, order]
    return np.add.reduceat(sorted_ * flags, starts, axis=1), np.add.reduceat(sorted_ * ~flags, starts, axis=1)
