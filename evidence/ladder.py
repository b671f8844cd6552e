"""How long a pipeline trains until it reaches a score.

A run's schedule ends with its budget, so every budget is a run of its own; the ladder is descended as long as the score
is reached.
"""

from collections.abc import Callable, Sequence
from typing import Any

from common import Scores, mean_per_case

TARGET = 0.85


def descend(scores_after: Callable[[float], Scores], budgets: Sequence[float]) -> dict[str, Any]:
    """The least budget after which, as after every longer one, the mean Dice is 0.85; and every budget tried.

    Args:
        scores_after: Seconds of training -> case -> structure -> Dice.
        budgets: In seconds, the longest first.

    Returns:
        ``seconds_to_target`` (None where the longest budget does not reach it) and ``mean_dice_after``.
    """
    tried: dict[str, float] = {}
    reached = None
    for seconds in budgets:
        scores = mean_per_case(scores_after(seconds))
        tried[f"{seconds:.0f} s"] = score = sum(scores.values()) / len(scores)
        if score < TARGET:
            break
        reached = seconds
    return {"seconds_to_target": reached, "mean_dice_after": tried}
