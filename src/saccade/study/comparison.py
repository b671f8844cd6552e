"""Two sets of predictions of the same cases: which is better, by how much, and is the difference shown?

Every case that both have counts as a pair, organ by organ. A failure counts as the worst that any case allows, a fixed
value that no prediction moves; where the truth has no organ, drawing nothing is right and counts as the best when the
other drew something; where neither drew anything there is nothing to compare. So no difference can turn in favour of
a side by a worse score of that side (docs/metrics.md).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.errors import InputError
from saccade.metrics import METRICS
from saccade.metrics.aggregate import Scores, is_missed, is_scored, is_spurious
from saccade.metrics.scores import HIGHER_IS_BETTER
from saccade.study.statistics import FEWEST, compare_paired, holm

SIGNIFICANT = 0.05
MEAN = "mean over organs"

Pairs = dict[str, tuple[float, float]]


def compare_results(result: Mapping[str, Any], other: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """A paired comparison of two results of `evaluate_folders` over the same truth.

    Args:
        result: Of the predictions in question.
        other: Of those that they are held against.
        seed: Of the intervals' draws.

    Returns:
        ``{"cases": n, "left_out": {"only_here": [case], "only_there": [case]}, "organs": {organ: {metric: {...}}},
        "mean_over_organs": {metric: {...}}}``. Each comparison has ``n``, ``mean``, ``mean_other``, ``difference``
        (result minus other), ``low`` and ``high`` (95 % bootstrap interval over cases), ``p`` (Wilcoxon signed-rank,
        two-sided), ``p_holm`` (corrected over the organs of that metric) and a ``verdict``. Below 5 pairs there is
        neither interval nor p: nan.

    Raises:
        InputError: If no case is in both.
    """
    first, second = result["cases"], other["cases"]
    shared = [case for case in first if case in second]
    if not shared:
        raise InputError(f"against: both must score the same cases, got {', '.join(first)} and {', '.join(second)}.")
    organs = dict.fromkeys(organ for cases in (first, second) for scores in cases.values() for organ in scores)
    comparison: dict[str, Any] = {
        "cases": len(shared),
        "left_out": {
            "only_here": [case for case in first if case not in second],
            "only_there": [case for case in second if case not in first],
        },
        "organs": {organ: {} for organ in organs},
        "mean_over_organs": {},
    }
    for metric in METRICS:
        worst = _worst(metric, [result["extents"][case] for case in shared])
        pairs = {
            organ: {
                case: pair
                for case in shared
                if (pair := _pair(first[case].get(organ), second[case].get(organ), metric, worst)) is not None
            }
            for organ in organs
        }
        found = {organ: _compare(scores, seed) for organ, scores in pairs.items()}
        corrected = holm({organ: c["p"] for organ, c in found.items() if not np.isnan(c["p"])})
        for organ, c in found.items():
            comparison["organs"][organ][metric] = _judged(c, metric, corrected.get(organ, float("nan")))
        mean = _compare(_over_organs(pairs), seed)
        comparison["mean_over_organs"][metric] = _judged(mean, metric, mean["p"])  # one test: nothing to correct
    return comparison


def _worst(metric: str, extents: list[Mapping[str, float]]) -> float:
    """What a failure counts: the same for both sides and every case, and never less than a score that is none."""
    if metric in HIGHER_IS_BETTER:
        return 0.0
    return max(extent["volume_ml" if metric == "volume_error_ml" else "diagonal_mm"] for extent in extents)


def _pair(a: Scores | None, b: Scores | None, metric: str, worst: float) -> tuple[float, float] | None:
    """Both scores of one case, None when neither side has anything to score."""
    sides = [scores if scores is not None and is_scored(scores) else None for scores in (a, b)]
    if sides == [None, None]:
        return None
    best = 1.0 if metric in HIGHER_IS_BETTER else 0.0
    values = [
        best if scores is None else worst if is_missed(scores) or is_spurious(scores) else float(scores[metric] or 0.0)
        for scores in sides
    ]
    return values[0], values[1]


def _over_organs(pairs: Mapping[str, Pairs]) -> Pairs:
    """The mean over those organs of a case that can be compared."""
    cases = dict.fromkeys(case for scores in pairs.values() for case in scores)
    found = {case: np.mean([scores[case] for scores in pairs.values() if case in scores], axis=0) for case in cases}
    return {case: (float(a), float(b)) for case, (a, b) in found.items()}


def _compare(pairs: Pairs, seed: int) -> dict[str, Any]:
    a, b = ({case: pair[side] for case, pair in pairs.items()} for side in (0, 1))
    if len(pairs) >= FEWEST:
        paired = compare_paired(a, b, seed=seed)
        means = {"mean": paired.mean_a, "mean_other": paired.mean_b, "difference": paired.difference}
        return {"n": paired.n, **means, "low": paired.low, "high": paired.high, "p": paired.p}
    mean, other = (float(np.mean([*side.values()])) if side else float("nan") for side in (a, b))
    nothing = dict.fromkeys(("low", "high", "p"), float("nan"))
    return {"n": len(pairs), "mean": mean, "mean_other": other, "difference": mean - other, **nothing}


def _judged(found: dict[str, Any], metric: str, p_holm: float) -> dict[str, Any]:
    """The comparison with its verdict: a difference is shown when interval and corrected p agree that it is."""
    low, high = found["low"], found["high"]
    if np.isnan(found["p"]):
        verdict = f"not tested: at least {FEWEST} cases are needed"
    elif low <= 0 <= high:
        verdict = "difference not shown: the interval includes zero"
    elif p_holm >= SIGNIFICANT:
        verdict = f"difference not shown: p is not below {SIGNIFICANT:g}"
    else:
        verdict = "better" if (low > 0) == (metric in HIGHER_IS_BETTER) else "worse"
    return {**found, "p_holm": p_holm, "verdict": verdict}
