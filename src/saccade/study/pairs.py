"""Two sets of predictions of the same cases held against each other, score by score."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from saccade.study.comparison import SIGNIFICANT
from saccade.study.statistics import FEWEST, compare_paired
from saccade.study.tables import Table, number, span

LOWER_IS_BETTER = ("loss",)


def paired(first: Mapping[str, float], second: Mapping[str, float], *, seed: int) -> dict[str, Any]:
    """Means, their difference with its 95 % bootstrap interval over cases, and the p of Wilcoxon's signed ranks.

    Args:
        first: Score of each case.
        second: Of the same cases.
        seed: Of the interval's draws.

    Returns:
        ``n``, ``mean``, ``mean_other``, ``difference``, ``low``, ``high``, ``p``; the last three are nan with fewer
        cases than five.
    """
    if len(first) < FEWEST:
        mean, other = (float(np.mean([*side.values()])) for side in (first, second))
        nothing = dict.fromkeys(("low", "high", "p"), float("nan"))
        return {"n": len(first), "mean": mean, "mean_other": other, "difference": mean - other, **nothing}
    found = compare_paired(first, second, seed=seed)
    ends = {"low": found.low, "high": found.high, "p": found.p}
    return {"n": found.n, "mean": found.mean_a, "mean_other": found.mean_b, "difference": found.difference, **ends}


def judged(pair: Mapping[str, Any], score: str, p_holm: float) -> dict[str, Any]:
    """The pair with its verdict: a difference is shown when interval and corrected p agree that it is."""
    if np.isnan(pair["p"]):
        verdict = f"not tested: at least {FEWEST} cases are needed"
    elif pair["low"] <= 0 <= pair["high"]:
        verdict = "difference not shown: the interval includes zero"
    elif p_holm >= SIGNIFICANT:
        verdict = f"difference not shown: p is not below {SIGNIFICANT:g}"
    else:
        verdict = "better" if (pair["low"] > 0) != (score in LOWER_IS_BETTER) else "worse"
    return {**pair, "p_holm": p_holm, "verdict": verdict}


def left_out(first: Collection[str], second: Collection[str]) -> dict[str, list[str]]:
    """Cases that only one of both has."""
    return {
        "only_here": [case for case in first if case not in second],
        "only_there": [case for case in second if case not in first],
    }


def comparison_table(against: Mapping[str, Any]) -> Table:
    """A comparison's rows."""
    rows = [["Score of a case", "Here", "There", "Difference", "95 % interval", "p", "p (Holm)", "Verdict"]]
    for score, pair in against["scores"].items():
        means = [number(pair[key]) for key in ("mean", "mean_other", "difference")]
        p = [number(pair["p"], ".2g"), number(pair["p_holm"], ".2g")]
        rows.append([score, *means, span(pair), *p, pair["verdict"]])
    return Table(f"against the other, over {against['cases']} shared case(s)", rows, keep=1)
