"""Scores of predicted landmarks against the true ones, whatever tool made them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.classification.read import is_picture
from saccade.data.landmarks.case import LandmarkCase, Point
from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.errors import InputError
from saccade.metrics.inputs import Real
from saccade.metrics.intervals import FEWEST, interval
from saccade.metrics.landmarks import on_line, radial_error
from saccade.tasks.classification.evaluate import match_ids
from saccade.tasks.landmarks.files import read_points

TOLERANCE = 10.0  # mm, as for the leg landmarks of the method's group; pixels of pictures
DRAWS = 1000  # of the median's interval
Say = Callable[[str], None]


def evaluate_landmarks(
    predictions: Path,
    truth: Path,
    *,
    tolerance: float | None = None,
    missing: str = "fail",
    seed: int = 0,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Score a file of landmarks.

    Cases are matched by their id: the whole of it, else the end of a path that only one case of the truth has.

    Args:
        predictions: What `read_points` reads.
        truth: A data set of landmarks.
        tolerance: Distance up to which a landmark is localised, pixels or mm; None for 10, or for the area around its
            centre line where the truth has one.
        missing: What becomes of a true case without a prediction: ``fail``, ``worst`` (nothing was found in it), or
            ``skip`` leaves it out.
        seed: Of the bootstrap.
        say: Gets a line about cases left out.

    Returns:
        As `score_landmarks`.

    Raises:
        InputError: If something cannot be read, nothing matches, or cases have no prediction.
    """
    points, dataset = read_points(predictions), find_landmark_dataset(truth)
    cases = dataset.labelled()
    found = match_ids(list(points), [case.id for case in cases])
    if not found:
        some = ", ".join(list(points)[:3]), ", ".join(case.id for case in cases[:3])
        raise InputError(f"{predictions}: no case is in the truth; predicted are {some[0]}, true are {some[1]}.")
    absent = [case.id for case in cases if case.id not in found]
    if absent and missing == "fail":
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(
            f"{predictions}: must have every case, has not {shown}. --missing skip leaves them out, worst counts them."
        )
    if absent:
        say(f"no prediction for {len(absent)} case(s): {'left out' if missing == 'skip' else 'nothing found there'}")
    if len(found) < len(points):
        say(f"no truth for {len(points) - len(found)} case(s): left out")
    kept = [case for case in cases if case.id in found or missing == "worst"]
    said = {case.id: points[found[case.id]] if case.id in found else {} for case in kept}
    return score_landmarks(said, kept, dataset.names, tolerance=tolerance, seed=seed)


def score_landmarks(
    found: Mapping[str, Mapping[str, Point]],
    cases: Sequence[LandmarkCase],
    names: Sequence[str],
    *,
    tolerance: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of landmarks.

    Args:
        found: Case -> landmark -> point.
        cases: With the true landmarks.
        names: Of the landmarks.
        tolerance: As `evaluate_landmarks` takes it.
        seed: Of the bootstrap.

    Returns:
        ``{"task", "names", "criterion", "summary", "per_landmark", "cases"}``. Summary, with intervals over cases:
        ``localised`` (share of true landmarks), ``all_localised`` (share of images), ``mean_error`` and
        ``median_error`` (of landmarks that were predicted), ``invented`` (share of landmarks that are not there but
        were predicted). A landmark that was not predicted is not localised and has no error.

    Raises:
        InputError: If points have other numbers of coordinates than the true ones.
    """
    by_line = tolerance is None and any(case.lines for case in cases)
    reach = TOLERANCE if tolerance is None else tolerance
    table = {case.id: _score_case(found.get(case.id, {}), case, names, reach, by_line) for case in cases}
    marks = {id: one["landmarks"] for id, one in table.items()}
    per_landmark = {}
    for name in names:
        of_name = [case[name] for case in marks.values() if name in case]
        there = [one for one in of_name if one["there"]]
        errors = [one["error"] for one in there if one["error"] is not None]
        per_landmark[name] = {
            "n": len(there),
            "localised": float(np.mean([one["localised"] for one in there])) if there else None,
            "mean_error": float(np.mean(errors)) if errors else None,
            "median_error": float(np.median(errors)) if errors else None,
            "invented": sum(not one["there"] for one in of_name),
        }
    return {
        "task": "landmarks",
        "names": list(names),
        "criterion": "centre line" if by_line else f"within {reach:g} {'mm' if _is_physical(cases) else 'px'}",
        "summary": _summary(table, len(names), seed),
        "per_landmark": per_landmark,
        "cases": table,
    }


def _score_case(
    points: Mapping[str, Point], case: LandmarkCase, names: Sequence[str], tolerance: float, by_line: bool
) -> dict[str, Any]:
    """One case; landmarks that are neither there nor predicted are left out."""
    landmarks: dict[str, dict[str, Any]] = {}
    for name in names:
        truth, said = case.points.get(name), points.get(name)
        if truth is None and said is None:
            continue
        if truth is not None and said is not None and len(truth) != len(said):
            raise InputError(f"case {case.id}: {name} must have {len(truth)} coordinates, got {len(said)}.")
        error, localised = None, False
        if truth is not None and said is not None:
            at, goal = np.array(said, float), np.array(truth, float)
            error = radial_error(at, goal)
            line = case.lines.get(name) if by_line else None
            if line is not None:
                localised = on_line(at, goal, np.array(line.vertices, float), line.half_width)
            else:
                localised = error <= tolerance
        landmarks[name] = {
            "there": truth is not None, "truth": truth, "said": said, "error": error, "localised": localised,
        }  # fmt: skip
    there = [one for one in landmarks.values() if one["there"]]
    errors = [one["error"] for one in there if one["error"] is not None]
    return {
        "there": len(there),
        "localised": sum(one["localised"] for one in there),
        "share": sum(one["localised"] for one in there) / max(1, len(there)),
        "mean_error": float(np.mean(errors)) if errors else None,
        "landmarks": landmarks,
    }


def _summary(table: Mapping[str, Mapping[str, Any]], names: int, seed: int) -> dict[str, dict[str, float]]:
    cases = [one for one in table.values() if one["there"]]
    counts = [one["there"] for one in cases]
    right = [one["localised"] for one in cases]
    errors = [[m["error"] for m in one["landmarks"].values() if m["error"] is not None] for one in cases]
    sums, known = [float(sum(case)) for case in errors], [len(case) for case in errors]
    every = [error for case in errors for error in case]
    absent = [names - one["there"] for one in table.values()]
    invented = [sum(not m["there"] for m in one["landmarks"].values()) for one in table.values()]
    all_right = [float(a == b) for a, b in zip(right, counts, strict=True)]
    return {
        "localised": {"value": _share(right, counts), **interval(right, counts, seed=seed)},
        "all_localised": {"value": _share(all_right, [1] * len(all_right)), **interval(all_right, seed=seed)},
        "mean_error": {"value": _share(sums, known), **interval(sums, known, seed=seed)},
        "median_error": {"value": float(np.median(every)) if every else float("nan"), **_median_interval(errors, seed)},
        "invented": {"value": _share(invented, absent), **interval(invented, absent, seed=seed)},
    }


def _median_interval(errors: Sequence[Sequence[float]], seed: int) -> dict[str, float]:
    """95 % interval of the median over all landmarks, cases drawn with replacement."""
    cases = [np.array(case) for case in errors if case]
    if len(cases) < FEWEST:
        return {"low": float("nan"), "high": float("nan")}
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(cases), size=(DRAWS, len(cases)))
    low, high = np.quantile([np.median(np.concatenate([cases[n] for n in row])) for row in drawn], [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _share(parts: Sequence[Real], wholes: Sequence[Real]) -> float:
    return float(sum(parts) / sum(wholes)) if sum(wholes) else float("nan")


def _is_physical(cases: Sequence[LandmarkCase]) -> bool:
    return any(not is_picture(case.source) for case in cases)
