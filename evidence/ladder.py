"""How long a pipeline trains until it reaches a score.

A run's schedule ends with its budget, so every budget is a run of its own; the least that reaches the score is found by
bisection (more seconds are taken not to score worse).
"""

from collections.abc import Callable
from typing import Any

from common import Scores, mean_per_case

TARGET = 0.85
LADDER = (60.0, 90.0, 180.0, 300.0)


def climb(scores_after: Callable[[float], Scores]) -> dict[str, Any]:
    """The least budget of the ladder after which the mean Dice is 0.85, and every budget that was tried.

    Args:
        scores_after: Seconds of training -> case -> structure -> Dice.

    Returns:
        ``seconds_to_target`` (None where the longest budget does not reach it) and ``mean_dice_after``.
    """
    tried: dict[str, float] = {}
    low, high = 0, len(LADDER)
    while low < high:
        middle = (low + high) // 2
        seconds = LADDER[middle]
        scores = mean_per_case(scores_after(seconds))
        tried[f"{seconds:.0f} s"] = score = sum(scores.values()) / len(scores)
        low, high = (low, middle) if score >= TARGET else (middle + 1, high)
    return {"seconds_to_target": LADDER[low] if low < len(LADDER) else None, "mean_dice_after": tried}
