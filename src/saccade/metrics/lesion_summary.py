"""From the lesions of cases to sensitivity, false positives, precision, size classes, and the FROC curve."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from saccade.errors import InputError
from saccade.metrics.inputs import Real, Spacing
from saccade.metrics.intervals import interval
from saccade.metrics.lesions import OVERLAP, Lesion, LesionScores, score_lesions
from saccade.metrics.overlap import ratio

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)  # false positives per case at which LUNA16 and many since read the curve

Counts = Sequence[tuple[int, int]]


def summarise_lesions(
    cases: Mapping[str, LesionScores], *, edges_ml: Sequence[Real] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Detection scores of one structure over cases.

    Args:
        cases: All cases, those without a lesion too: their false positives count.
        edges_ml: Where one size class ends and the next begins; default the quartiles of the lesions' volumes.
        seed: Of the intervals' draws.

    Returns:
        ``n_cases``, ``n_lesions``, ``n_found``, ``n_predicted``, ``n_false_positives``; ``sensitivity`` (found of all
        lesions), ``false_positives_per_case``, ``precision`` (found of found and false positives; 0 when lesions are
        there and neither is), ``component_dice`` (mean over all lesions, 0 for a missed one); ``intervals`` of these
        four, cases drawn with replacement; ``sizes``, the classes with their ``n``, ``n_found``, ``sensitivity`` and
        ``component_dice``. What is undefined is nan.

    Raises:
        InputError: If the edges are not above zero and ascending.
    """
    scores = list(cases.values())
    n = np.array([len(case.lesions) for case in scores])
    found = np.array([case.n_found for case in scores])
    alarms = np.array([len(case.false_positives_ml) for case in scores])
    dice = np.array([sum(lesion.dice for lesion in case.lesions) for case in scores])
    lesions = [lesion for case in scores for lesion in case.lesions]
    precision = ratio(int(found.sum()), int((found + alarms).sum()))
    return {
        "n_cases": len(scores),
        "n_lesions": len(lesions),
        "n_found": int(found.sum()),
        "n_predicted": sum(case.n_predicted for case in scores),
        "n_false_positives": int(alarms.sum()),
        **_found(lesions),
        "false_positives_per_case": ratio(int(alarms.sum()), len(scores)),
        "precision": 0.0 if np.isnan(precision) and lesions else precision,
        "intervals": {
            "sensitivity": interval(found, n, seed=seed),
            "component_dice": interval(dice, n, seed=seed),
            "false_positives_per_case": interval(alarms, seed=seed),
            # The billionth makes a draw in which lesions are there and nothing is predicted count 0, not nothing.
            "precision": interval(found, found + alarms + 1e-9 * n, seed=seed),
        },
        "sizes": _by_size(lesions, _edges(lesions, edges_ml)),
    }


def check_edges(who: str, edges_ml: Sequence[Real]) -> None:
    """Refuse edges of size classes that are not above zero and ascending."""
    if not all(low < high for low, high in zip((0, *edges_ml), edges_ml, strict=False)):
        given = ", ".join(f"{edge:g}" for edge in edges_ml)
        raise InputError(f"{who}: edges of size classes must be above 0 ml and ascending, got {given}.")


def count_at_thresholds(
    probability: ArrayLike,
    truth: ArrayLike,
    spacing_mm: Spacing,
    *,
    overlap: Real = OVERLAP,
    thresholds: Sequence[Real] = THRESHOLDS,
) -> list[tuple[int, int]]:
    """Lesions found and false positives of one case where a probability map is cut at each threshold.

    Args:
        probability: Map of numbers in 0..1.
        truth: Mask of the same shape.
        spacing_mm: Voxel size per axis.
        overlap: As in `score_lesions`.
        thresholds: A voxel belongs to the prediction from this value up.

    Raises:
        InputError: If a number is not in 0..1, or as `score_lesions`.
    """
    map_ = np.asarray(probability)
    if map_.size and not (map_.min() >= 0 and map_.max() <= 1):  # nan fails both
        raise InputError(f"count_at_thresholds: probabilities must lie in 0..1, got {map_.min():g}..{map_.max():g}.")
    cuts = (score_lesions(map_ >= threshold, truth, spacing_mm, overlap=overlap) for threshold in thresholds)
    return [(cut.n_found, len(cut.false_positives_ml)) for cut in cuts]


def froc(counts: Mapping[str, Counts], n_lesions: int, *, thresholds: Sequence[Real] = THRESHOLDS) -> dict[str, Any]:
    """The free-response curve: sensitivity against false positives per case.

    Args:
        counts: Of each case what `count_at_thresholds` gives.
        n_lesions: Of all cases together.
        thresholds: Those of the counts.

    Returns:
        ``points``: ``threshold``, ``sensitivity`` and ``false_positives_per_case`` of each cut. ``sensitivity_at``: the
        highest sensitivity of a cut with no more than 1/8, 1/4, 1/2, 1, 2, 4, 8 false positives per case, 0 when there
        is no such cut. ``mean_sensitivity``: the mean of these seven. nan where there is no lesion.
    """
    totals = np.sum([list(case) for case in counts.values()], axis=0)
    points = [
        {
            "threshold": threshold,
            "sensitivity": ratio(int(found), n_lesions),
            "false_positives_per_case": int(alarms) / len(counts),
        }
        for threshold, (found, alarms) in zip(thresholds, totals, strict=True)
    ]
    at = {
        f"{rate:g}": max(
            (point["sensitivity"] for point in points if point["false_positives_per_case"] <= rate),
            default=0.0 if n_lesions else float("nan"),
        )
        for rate in RATES
    }
    return {"points": points, "sensitivity_at": at, "mean_sensitivity": float(np.mean([*at.values()]))}


def _found(lesions: Sequence[Lesion]) -> dict[str, float]:
    dice = [lesion.dice for lesion in lesions]
    return {
        "sensitivity": ratio(sum(lesion.found for lesion in lesions), len(lesions)),
        "component_dice": float(np.mean(dice)) if dice else float("nan"),
    }


def _edges(lesions: Sequence[Lesion], edges_ml: Sequence[Real] | None) -> list[float]:
    if edges_ml is not None:
        check_edges("summarise_lesions", edges_ml)
        return [float(edge) for edge in edges_ml]
    if not lesions:
        return []
    volumes = [lesion.ml for lesion in lesions]
    quartiles = np.unique(np.quantile(volumes, (0.25, 0.5, 0.75)))
    return quartiles[quartiles > min(volumes)].tolist()  # with many lesions of one size a class would be empty


def _by_size(lesions: Sequence[Lesion], edges_ml: Sequence[float]) -> list[dict[str, Any]]:
    """A class per gap between edges: from one edge up to, but without, the next."""
    sides = [0.0, *edges_ml, float("inf")]
    classes = []
    for low, high in pairwise(sides):
        inside = [lesion for lesion in lesions if low <= lesion.ml < high]
        classes.append(
            {
                "from_ml": low,
                "below_ml": None if high == sides[-1] else high,
                "n": len(inside),
                "n_found": sum(lesion.found for lesion in inside),
                **_found(inside),
            }
        )
    return classes
