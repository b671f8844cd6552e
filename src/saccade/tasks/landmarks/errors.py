"""What kind of error a wrong landmark is: taken for another one, a whole chain of these, or off altogether."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NEAR = 0.5  # of the way between two landmarks, within which a point is that of the other one
CHAIN = 3  # neighbours in the list, each taken for the one that is equally far along, from which on it is a chain error
KINDS = {
    "chain": "chain error",
    "mistaken": "taken for another landmark",
    "region": "wrong region",
    "near": "near its place",
    "none": "not predicted",
}


def kinds_of_errors(landmarks: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, str]:
    """The kind of each landmark that is not localised.

    Args:
        landmarks: Of a case, as `score_landmarks` gives it: ``truth``, ``said``, ``localised``.
        names: Of all landmarks, neighbours beside each other.

    Returns:
        Landmark -> ``chain`` (it and its neighbours in the list were each taken for a landmark that is the same number
        of places further, as when ribs are miscounted), ``mistaken`` (taken for another one), ``none`` (not predicted),
        ``near`` (nearer to its place than half-way to any other) or ``region`` (none of these).
    """
    truth = {name: np.array(one["truth"], float) for name, one in landmarks.items() if one["truth"] is not None}
    steps: dict[int, int] = {}
    found: dict[str, str] = {}
    for name, one in landmarks.items():
        if name not in truth or one["localised"]:
            continue
        if one["said"] is None:
            found[name] = "none"
            continue
        other = _taken_for(np.array(one["said"], float), name, truth)
        if other is None:
            nearest = min((np.linalg.norm(truth[name] - t) for n, t in truth.items() if n != name), default=np.inf)
            found[name] = "near" if one["error"] < NEAR * nearest else "region"
        else:
            found[name] = "mistaken"
            steps[names.index(name)] = names.index(other) - names.index(name)
    for first in sorted(steps):
        run = [first]
        while steps.get(run[-1] + 1) == steps[first]:
            run.append(run[-1] + 1)
        if len(run) >= CHAIN:
            found |= {names[number]: "chain" for number in run}
    return found


def _taken_for(said: np.ndarray, name: str, truth: Mapping[str, np.ndarray]) -> str | None:
    """The landmark whose place a point is at, if it is another one's."""
    others = {n: t for n, t in truth.items() if n != name}
    if not others:
        return None
    nearest = min(others, key=lambda n: float(np.linalg.norm(said - others[n])))
    between = np.linalg.norm(others[nearest] - truth[name])
    return nearest if np.linalg.norm(said - others[nearest]) < NEAR * between else None
