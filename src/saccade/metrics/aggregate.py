"""From the scores of cases to a summary that cannot get better when a case gets worse."""

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np

from saccade.metrics.inputs import Real
from saccade.metrics.scores import HIGHER_IS_BETTER

Scores = Mapping[str, Real | None]


def aggregate(cases: Mapping[str, Mapping[str, Scores]]) -> dict[str, dict[str, dict[str, Real]]]:
    """Mean and spread of every metric of every organ over cases, failures included.

    A case that has nothing to find and finds nothing is not scored. A missed organ (precision undefined: nothing was
    predicted) and a spurious one (recall undefined: there was nothing) count in every metric as the worst of all: 0
    where higher is better, else the largest value that any case of this organ has. The law that follows, with its
    proof, is in docs/metrics.md.

    Args:
        cases: ``{case: {organ: {metric: value}}}`` as `score_labels` gives the values; None is read as nan, so that
            the scores of a JSON file can be summarised again.

    Returns:
        ``{organ: {metric: {"mean", "std", "n", "n_missed", "n_spurious"}}}``, organs in the order in which they first
        appear. ``std`` is that of the cases themselves (divided by n); mean and std are nan where n is 0.

    >>> found = {"dice": 1.0, "precision": 1.0, "recall": 1.0}
    >>> missed = {"dice": 0.0, "precision": float("nan"), "recall": 0.0}
    >>> aggregate({"a": {"liver": found}, "b": {"liver": missed}})["liver"]["dice"]
    {'mean': 0.5, 'std': 0.5, 'n': 2, 'n_missed': 1, 'n_spurious': 0}
    """
    organs = dict.fromkeys(organ for scores in cases.values() for organ in scores)
    return {organ: _summary([scores[organ] for scores in cases.values() if organ in scores]) for organ in organs}


def is_scored(scores: Scores) -> bool:
    """The truth or the prediction has the organ."""
    return not _undefined(scores["dice"])


def is_missed(scores: Scores) -> bool:
    """The truth has the organ and the prediction does not."""
    return _undefined(scores["precision"]) and not _undefined(scores["recall"])


def is_spurious(scores: Scores) -> bool:
    """The prediction has the organ and the truth does not."""
    return _undefined(scores["recall"]) and not _undefined(scores["precision"])


def counted_values(all_scores: Sequence[Scores], metric: str) -> list[Real]:
    """What each case counts in the mean of one metric of one organ: a failure the worst, an unscored case nothing.

    Args:
        all_scores: The organ's scores in every case.
        metric: One of `METRICS`.
    """
    scored = [scores for scores in all_scores if is_scored(scores)]
    known = [value for scores in scored if (value := scores[metric]) is not None and not isnan(value)]
    worst = 0.0 if metric in HIGHER_IS_BETTER else max(known, default=0.0)
    return [worst if is_missed(scores) or is_spurious(scores) else float(scores[metric] or 0.0) for scores in scored]


def _summary(all_scores: Sequence[Scores]) -> dict[str, dict[str, Real]]:
    scored = [scores for scores in all_scores if is_scored(scores)]
    missed, spurious = sum(map(is_missed, scored)), sum(map(is_spurious, scored))
    summary = {}
    for metric in all_scores[0]:
        values = counted_values(all_scores, metric)
        summary[metric] = {
            "mean": float(np.mean(values)) if values else float("nan"),
            "std": float(np.std(values)) if values else float("nan"),
            "n": len(values),
            "n_missed": missed,
            "n_spurious": spurious,
        }
    return summary


def _undefined(value: Real | None) -> bool:
    return value is None or isnan(value)
