"""Is the difference there? Paired comparisons over cases, with an interval."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from saccade.errors import InputError
from saccade.metrics.intervals import FEWEST, bootstrap_interval

__all__ = ["FEWEST", "Paired", "bootstrap_interval", "compare_paired", "holm"]


@dataclass(frozen=True)
class Paired:
    """A paired comparison of two scores per case.

    Attributes:
        n: Cases.
        mean_a, mean_b: Means over cases.
        difference: Mean of a - b.
        low, high: 95 % bootstrap percentile interval of the difference, cases resampled.
        p: Two-sided Wilcoxon signed-rank test of the differences; 1 when all are zero.
        verdict: In words.
    """

    n: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_paired(a: Mapping[str, float], b: Mapping[str, float], *, seed: int = 0) -> Paired:
    """Compare two scores of the same cases; higher is better.

    Args:
        a: Case -> score; seeds are to be averaged before.
        b: The same cases.
        seed: Of the bootstrap.

    Raises:
        InputError: If the cases differ, or are fewer than 5.
    """
    if set(a) != set(b):
        raise InputError(f"compare_paired: both must score the same cases, differ in {sorted(set(a) ^ set(b))[:5]}.")
    if len(a) < FEWEST:
        raise InputError(f"compare_paired: must have at least {FEWEST} cases, got {len(a)}.")
    first, second = (np.array([scores[case] for case in sorted(a)], dtype=float) for scores in (a, b))
    differences = first - second
    low, high = bootstrap_interval(differences, seed=seed)
    p = 1.0 if not differences.any() else float(stats.wilcoxon(differences).pvalue)
    if low > 0 or high < 0:
        verdict = f"{'higher' if low > 0 else 'lower'}: the interval excludes zero"
    else:
        verdict = "difference not shown: the interval includes zero"
    means = float(first.mean()), float(second.mean()), float(differences.mean())
    return Paired(len(a), *means, low, high, p, verdict)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for being several: one below 0.05 says the same of the whole family.

    Holm, 1979, https://www.jstor.org/stable/4615733: the smallest times their number, the next times one fewer, ...;
    never falling, at most 1.

    >>> holm({"liver": 0.01, "spleen": 0.04, "aorta": 0.03})
    {'liver': 0.03, 'aorta': 0.06, 'spleen': 0.06}
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = min(1.0, max(largest, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return corrected
