"""What the scores of cases say: means over organs and seeds, and arms held against one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saccade.metrics import METRICS
from saccade.metrics.aggregate import Scores, is_missed, is_scored, is_spurious
from saccade.metrics.scores import HIGHER_IS_BETTER
from saccade.study.comparison import SIGNIFICANT, compare_results
from saccade.study.statistics import holm

Result = dict[str, Any]  # "cases" and "extents", as `evaluate_folders` gives them


def mean_dice_of_cases(result: Mapping[str, Any]) -> dict[str, float]:
    """Case -> mean Dice over the organs that are scored in it; cases with none are left out."""
    scored = {
        case: [float(scores["dice"]) for scores in organs.values() if is_scored(scores)]
        for case, organs in result["cases"].items()
    }
    return {case: float(np.mean(values)) for case, values in scored.items() if values}


def average_seeds(results: Sequence[Result]) -> Result:
    """One result out of several trainings on the same cases: the mean of every score.

    A failure in some of the trainings counts in the mean as the worst that the case allows, and nothing drawn where
    nothing is as the best; an organ that is missed, spurious or not scored in all of them stays that.
    """
    first = results[0]
    if len(results) == 1:
        return first
    cases = {}
    for case in first["cases"]:
        organs = dict.fromkeys(organ for result in results for organ in result["cases"][case])
        extent = first["extents"][case]
        cases[case] = {
            organ: _average([result["cases"][case].get(organ) for result in results], extent) for organ in organs
        }
    return {"cases": cases, "extents": first["extents"]}


def _average(seeds: Sequence[Scores | None], extent: Mapping[str, float]) -> dict[str, Any]:
    scored = [scores for scores in seeds if scores is not None and is_scored(scores)]
    if not scored:
        return dict.fromkeys(METRICS, float("nan"))
    if len(scored) == len(seeds) and (all(map(is_missed, scored)) or all(map(is_spurious, scored))):
        return dict(scored[0])
    return {metric: float(np.mean([_counted(scores, metric, extent) for scores in seeds])) for metric in METRICS}


def _counted(scores: Scores | None, metric: str, extent: Mapping[str, float]) -> float:
    higher = metric in HIGHER_IS_BETTER
    if scores is None or not is_scored(scores):
        return 1.0 if higher else 0.0
    if is_missed(scores) or is_spurious(scores):
        return 0.0 if higher else extent["volume_ml" if metric == "volume_error_ml" else "diagonal_mm"]
    return float(scores[metric] or 0.0)


def compare_arms(arms: Mapping[str, Mapping[str, Any]], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Paired comparisons of arms, each as `compare_results` gives it, with the names ``arm`` and ``against``.

    ``p_holm`` of the mean over organs is corrected over all comparisons of the study, per metric; a difference that
    does not stand this is no longer called one.
    """
    found = [{"arm": arm, "against": other, **compare_results(arms[arm], arms[other])} for arm, other in pairs]
    for metric in METRICS:
        means = {str(number): pair["mean_over_organs"][metric] for number, pair in enumerate(found)}
        corrected = holm({number: mean["p"] for number, mean in means.items() if not np.isnan(mean["p"])})
        for number, p in corrected.items():
            means[number]["p_holm"] = p
            if p >= SIGNIFICANT and means[number]["verdict"] in ("better", "worse"):
                means[number]["verdict"] = f"difference not shown: p is not below {SIGNIFICANT:g}"
    return found
