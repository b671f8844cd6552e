"""Held-out images with their landmarks, the worst first, and all predictions on one image."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import RBFInterpolator

from saccade.data.landmarks.case import LandmarkCase, Point
from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.errors import SaccadeError
from saccade.explain.draw_points import TRUTH, WRONG, mark, show, views_of
from saccade.explain.render import encode
from saccade.report.gather import as_mapping
from saccade.report.target_gallery import data_uri
from saccade.tasks.landmarks.errors import KINDS, kinds_of_errors

INCHES, DPI = 3.0, 110
RIGHT = "#4fc3f7"
FEWEST = 3  # landmarks in common that a warp needs beside the axes


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
        case: Its id.
        source: The picture as a data URI; empty if the image is gone.
        said: How many landmarks are localised.
        errors: Kind of error -> landmarks, in words.
    """

    case: str
    source: str
    said: str
    errors: Sequence[str]


def open_cases(config: Mapping[str, Any], notices: list[str]) -> dict[str, LandmarkCase]:
    """The data set's cases; without them no image is shown, and a notice says why."""
    try:
        dataset = find_landmark_dataset(str(as_mapping(config.get("data")).get("root", "")))
    except (SaccadeError, OSError) as error:
        notices.append(f"Images: {error}")
        return {}
    return {case.id: case for case in dataset.cases}


def draw_cards(result: Mapping[str, Any], known: Mapping[str, LandmarkCase], shown: int) -> list[Card]:
    """Cards of the images with the smallest share of localised landmarks, of equal ones the largest mean error first.

    Args:
        result: Scores of `score_landmarks`.
        known: The data set's cases.
        shown: How many.
    """
    scores = as_mapping(result.get("cases"))
    worst = sorted(scores, key=lambda id: (scores[id]["share"], -(scores[id]["mean_error"] or 0.0), id))[:shown]
    cards = []
    for id in worst:
        one = scores[id]
        kinds = kinds_of_errors(one["landmarks"], result["names"])
        errors = [
            f"{words}: {', '.join(name for name, kind in kinds.items() if kind == key)}"
            for key, words in KINDS.items()
            if key in kinds.values()
        ]
        source = _picture(known[id], one["landmarks"]) if id in known and known[id].source.is_file() else ""
        cards.append(Card(id, source, f"{one['localised']} of {one['there']} localised", errors))
    return cards


def count_errors(result: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Of each kind of error its name, how many landmarks have it, and in how many images."""
    rows = [kinds_of_errors(one["landmarks"], result["names"]) for one in as_mapping(result.get("cases")).values()]
    return [
        (words, sum(list(row.values()).count(key) for row in rows), sum(key in row.values() for row in rows))
        for key, words in KINDS.items()
    ]


def draw_together(result: Mapping[str, Any], known: Mapping[str, LandmarkCase]) -> tuple[str, str]:
    """All predictions on one image, as a data URI and the image's id; empty where none can be shown.

    The image is that with the most landmarks, of equal ones that whose landmarks lie nearest to the mean. A prediction
    goes where the thin-plate spline that takes its own image's true landmarks to that image's takes it.
    """
    scores = {id: as_mapping(one["landmarks"]) for id, one in as_mapping(result.get("cases")).items() if id in known}
    truth = {id: _points(one, "truth") for id, one in scores.items()}
    truth = {id: points for id, points in truth.items() if points and known[id].source.is_file()}
    if not truth:
        return "", ""
    names = {name for points in truth.values() for name in points}
    mean = {name: np.mean([points[name] for points in truth.values() if name in points], 0) for name in names}

    def away(id: str) -> float:
        return float(np.mean([np.linalg.norm(point - mean[name]) for name, point in truth[id].items()]))

    best = min(truth, key=lambda id: (-len(truth[id]), away(id), id))
    figure, places, axes = _figure(known[best])
    for id, points in truth.items():
        moved = warp(points, truth[best], _points(scores[id], "said"))
        for name, point in moved.items():
            colour = RIGHT if scores[id][name].get("localised") else WRONG
            for place, (across, up) in zip(places, axes, strict=True):
                place.plot(point[across], point[up], ".", color=colour, markersize=3, alpha=0.7)
    for place, (across, up) in zip(places, axes, strict=True):
        for point in truth[best].values():
            place.plot(point[across], point[up], "o", color=TRUTH, markersize=7, fillstyle="none")
    return _uri(figure), best


def warp(
    source: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray], points: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Points of one image in another: by the thin-plate spline that takes the landmarks which both have to each other,
    or with too few of these by the mean offset.

    Args:
        source: True landmarks of the image that the points are of.
        goal: Those of the other image.
        points: To be moved.
    """
    common = [name for name in source if name in goal]
    if not points or not common:
        return {}
    first, second = (np.array([side[name] for name in common]) for side in (source, goal))
    values = np.array(list(points.values()))
    if len(common) < FEWEST + first.shape[1] or np.linalg.matrix_rank(first - first.mean(0)) < first.shape[1]:
        moved = values + (second - first).mean(0)
    else:
        moved = RBFInterpolator(first, second, kernel="thin_plate_spline")(values)
    return dict(zip(points, moved, strict=True))


def _points(landmarks: Mapping[str, Any], key: str) -> dict[str, np.ndarray]:
    return {name: np.array(one[key], float) for name, one in landmarks.items() if one[key] is not None}


def _picture(case: LandmarkCase, landmarks: Mapping[str, Any]) -> str:
    figure, places, axes = _figure(case)
    for name, one in landmarks.items():
        truth: Point | None = one["truth"]
        said: Point | None = one["said"]
        for place, (across, up) in zip(places, axes, strict=True):
            if truth is not None:
                place.plot(truth[across], truth[up], "o", color=TRUTH, markersize=5, fillstyle="none")
            if said is None:
                continue
            colour = RIGHT if one["localised"] else WRONG
            if truth is not None and not one["localised"]:
                place.plot([truth[across], said[across]], [truth[up], said[up]], color=WRONG, linewidth=0.8)
            mark(place, (said[across], said[up]), colour, "" if one["localised"] else name)
    return _uri(figure)


def _figure(case: LandmarkCase) -> tuple[Figure, list[Any], list[tuple[int, int]]]:
    """The views of an image without axes, and which coordinates each shows."""
    views = views_of(case.source)
    wide = [abs(extent[1] - extent[0]) / max(abs(extent[3] - extent[2]), 1e-6) for _, extent, _ in views]
    figure = Figure(figsize=(INCHES * min(sum(wide), 6), INCHES), facecolor="black")
    places, left = [], 0.0
    for (grey, extent, _), width in zip(views, wide, strict=True):
        place = figure.add_axes((left, 0, width / sum(wide), 1))
        left += width / sum(wide)
        show(place, grey, extent)
        places.append(place)
    return figure, places, [axes for _, _, axes in views]


def _uri(figure: Figure) -> str:
    return data_uri(io.BytesIO(encode(figure, kind="jpeg", dpi=DPI)), "jpeg")
