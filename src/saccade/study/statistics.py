"""Is the difference there? Paired comparisons over cases, with an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from saccade.errors import InputError

RESAMPLES = 10_000
FEWEST = 5  # pairs below which neither an interval nor a test says anything


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


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; values are cases, resampled with replacement."""
    array = np.asarray(values, dtype=float)
    generator = np.random.default_rng(seed)
    means = array[generator.integers(len(array), size=(RESAMPLES, len(array)))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
