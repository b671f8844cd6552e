"""Confidence intervals over cases: what the mean would have been with other cases of the same kind.

The bootstrap draws as many cases as there are, with replacement, 10,000 times, and takes the 2.5th and the 97.5th
percentile of the results (Efron, 1979, https://doi.org/10.1214/aos/1176344552). Percentiles and no correction for bias
and skewness (BCa): with them both ends keep the law of docs/metrics.md, that no summary improves when a case gets
worse, which the correction breaks. The draws depend on the number of cases and the seed alone.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import nan

import numpy as np

from saccade.metrics.aggregate import Scores, counted_values
from saccade.metrics.inputs import Real

LEVEL = 0.95
RESAMPLES = 10_000
FEWEST = 5  # cases below which neither an interval nor a test says anything

Interval = dict[str, float]


def bootstrap_interval(
    values: Sequence[Real] | np.ndarray,
    weights: Sequence[Real] | np.ndarray | None = None,
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile bootstrap interval of ``sum(values) / sum(weights)``, cases drawn with replacement.

    Args:
        values: One number per case; without weights the interval is that of their mean.
        weights: One number per case, such as its lesions where the values are the lesions found. Draws whose weights
            sum to 0 are left out.
        seed: Of the draws.
        level: Share of the draws between both ends.

    Returns:
        Both ends, nan when there is no case or no weight.

    >>> low, high = bootstrap_interval([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    >>> round(low, 3), high
    (0.5, 1.0)
    """
    array = np.asarray(values, dtype=float)
    shares = np.ones_like(array) if weights is None else np.asarray(weights, dtype=float)
    if not shares.sum() > 0:
        return nan, nan
    draws = _draws(len(array), seed)
    whole = draws @ shares
    results = (draws @ array)[whole > 0] / whole[whole > 0]
    low, high = np.quantile(results, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(
    values: Sequence[Real] | np.ndarray, weights: Sequence[Real] | np.ndarray | None = None, *, seed: int = 0
) -> Interval:
    """`bootstrap_interval` for JSON, ``{"low", "high"}``; nan with fewer than 5 cases, which say nothing."""
    few = len(values) < FEWEST
    low, high = (nan, nan) if few else bootstrap_interval(values, weights, seed=seed)
    return {"low": low, "high": high}


def confidence_intervals(cases: Mapping[str, Mapping[str, Scores]], *, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """95 % interval of every mean that `aggregate` gives, failures counted as it counts them.

    Args:
        cases: As for `aggregate`.
        seed: Of the draws.

    Returns:
        ``{organ: {metric: {"low", "high"}}}``; nan where fewer than 5 cases are scored.
    """
    organs = dict.fromkeys(organ for scores in cases.values() for organ in scores)
    found = {organ: [scores[organ] for scores in cases.values() if organ in scores] for organ in organs}
    return {
        organ: {metric: interval(counted_values(scores, metric), seed=seed) for metric in scores[0]}
        for organ, scores in found.items()
    }


@lru_cache(maxsize=4)
def _draws(cases: int, seed: int) -> np.ndarray:
    """How often each case is in each draw, (draws, cases): one table serves every metric of equally many cases."""
    drawn = np.random.default_rng(seed).integers(cases, size=(RESAMPLES, cases))
    places = drawn + cases * np.arange(RESAMPLES)[:, None]
    return np.bincount(places.ravel(), minlength=RESAMPLES * cases).reshape(RESAMPLES, cases).astype(float)
