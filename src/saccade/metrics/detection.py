"""Scores of detections: average precision as Pascal VOC and as COCO have it, and sensitivity at false positives.

Everingham et al. 2010, doi:10.1007/s11263-009-0275-4; Lin et al. 2014, arXiv:1405.0312. Intervals draw images with
replacement.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from saccade.errors import InputError
from saccade.metrics.detection_match import Found, Truth, match_coco, match_voc
from saccade.metrics.intervals import FEWEST, LEVEL
from saccade.metrics.lesion_summary import RATES

COCO_OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # detections of an image that COCO looks at
DRAWS = 500
SCORES = ("ap50", "ap", "sensitivity")
AT_ONCE = 4_000_000  # numbers held in memory
Curve = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Ranked:
    """Detections of one class over all images, the surest first.

    Attributes:
        image: (n,) Number of the image that each is in.
        score: (n,) How sure each is.
        hit: (n,) 1 for a hit, 0 for a false positive, -1 for what does not count.
        objects: (images,) Objects that count, in each image.
    """

    image: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    objects: np.ndarray


def score_detections(
    found: Mapping[str, Found], truth: Mapping[str, Truth], names: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Scores of the detections in some images.

    Args:
        found: Image -> detections; an image that is not there has none.
        truth: Image -> objects, for every image that counts.
        names: The classes.
        seed: Of the intervals' draws.

    Returns:
        ``summary``: means over classes, each with ``value``, ``low`` and ``high``: ``ap50`` (Pascal VOC's since 2010:
        the area under the envelope of the curve, at an overlap of one half), ``ap`` (COCO's: over ten overlaps the mean
        precision at 101 recalls, 100 detections of a class in an image) and ``sensitivity`` (mean of those at 1/8 to 8
        false positives an image, at an overlap of one half). ``per_class``: the same of each class, with its objects
        ``n``, ``sensitivity_at`` each rate and the ``curve`` of (recall, precision). ``cases``: of each image its
        objects, hits and false positives at VOC's overlap. ``working_point``: see `working_point`. nan where there is
        no object.

    Raises:
        InputError: If detections are of an image that is not there.
    """
    images = list(truth)
    voc, values = _draw(found, truth, names, seed)
    return {
        "summary": {score: _with_interval(_mean(values, score), images) for score in SCORES},
        "per_class": {
            name: {**_of_class(values[name], int(voc[name].objects.sum()), images), "curve": curve_of(voc[name])}
            for name in names
        },
        "cases": {
            id: {
                "objects": int(sum(ranked.objects[number] for ranked in voc.values())),
                "hits": _counted(voc, number, 1),
                "false_positives": _counted(voc, number, 0),
            }
            for number, id in enumerate(images)
        },
        "working_point": working_point(list(voc.values())),
    }


def average_detectors(
    found: Sequence[Mapping[str, Found]], truth: Mapping[str, Truth], names: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Mean scores of several detectors on the same images, of trainings that differ in their seed alone.

    Args:
        found: Of each detector.
        truth: As for `score_detections`.
        names: The classes.
        seed: Of the intervals' draws.

    Returns:
        ``summary`` and ``per_class``, as `score_detections` gives them, without curves.
    """
    images, values = list(truth), _average(found, truth, names, seed)
    objects = {name: sum(int((~one.of(name).ignored).sum()) for one in truth.values()) for name in names}
    return {
        "summary": {score: _with_interval(_mean(values, score), images) for score in SCORES},
        "per_class": {name: _of_class(values[name], objects[name], images) for name in names},
    }


def compare_detections(
    found: Sequence[Mapping[str, Found]],
    other: Sequence[Mapping[str, Found]],
    truth: Mapping[str, Truth],
    names: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Two detectors on the same images: how much the first one's scores are higher.

    Both are scored on the same draws of images, so that an image that is hard for both widens no interval.

    Args:
        found: Of the one in question; of several trainings of it the mean is taken.
        other: Of the one that it is held against.
        truth: As for `score_detections`.
        names: The classes.
        seed: Of the draws.

    Returns:
        For ``ap50``, ``ap`` and ``sensitivity``, means over classes: ``mean``, ``mean_other``, ``difference``, and
        ``low`` and ``high`` of its 95 % interval, nan with fewer than 5 images.
    """
    sides = [_average(side, truth, names, seed) for side in (found, other)]
    compared = {}
    for score in SCORES:
        here, there = (_mean(values, score) for values in sides)
        ends = _with_interval(here - there, list(truth))
        compared[score] = {"mean": float(here[0]), "mean_other": float(there[0]), "difference": ends.pop("value")}
        compared[score] |= ends
    return compared


def curve_of(ranked: Ranked, most: int = 100) -> list[tuple[float, float]]:
    """Recall and precision at the hits, some ``most`` of them, the surest first; none without objects."""
    hits, alarms = ((ranked.hit == what).cumsum() for what in (1, 0))
    at = np.flatnonzero(ranked.hit == 1)
    if len(at) > most:
        at = at[np.linspace(0, len(at) - 1, most).round().astype(int)]
    recall, precision = hits[at] / max(1, ranked.objects.sum()), hits[at] / (hits[at] + alarms[at])
    return list(zip(recall.tolist(), precision.tolist(), strict=True))


def working_point(ranked: Sequence[Ranked]) -> dict[str, float]:
    """The score from which on detections are best taken, all classes together: that with the highest F1.

    Returns:
        ``score``, and with it ``precision``, ``recall`` and ``f1``; nan where nothing is hit.
    """
    scores = np.concatenate([one.score for one in ranked]) if ranked else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    what, scores = np.concatenate([one.hit for one in ranked])[order] if len(order) else scores, scores[order]
    hits, alarms = (what == 1).cumsum(), (what == 0).cumsum()
    objects = sum(int(one.objects.sum()) for one in ranked)
    f1 = 2 * hits / np.maximum(hits + alarms + objects, 1)
    f1[:-1][scores[:-1] == scores[1:]] = 0  # equal scores are taken together
    if not f1.any():
        return dict.fromkeys(("score", "precision", "recall", "f1"), nan)
    best = int(f1.argmax())
    precision, recall = hits[best] / (hits[best] + alarms[best]), hits[best] / objects
    return {"score": float(scores[best]), "precision": precision, "recall": recall, "f1": float(f1[best])}


def ap50(found: Mapping[str, Found], truth: Mapping[str, Truth], names: Sequence[str]) -> float:
    """The ``ap50`` of `score_detections` alone, without an interval; nan where there is no object.

    Args:
        found: Image -> detections.
        truth: Image -> objects.
        names: The classes.
    """
    return float(_ap50(found, truth, names, np.ones((1, len(truth))))[0])


def ap50_of_draws(
    found: Mapping[str, Found], truth: Mapping[str, Truth], names: Sequence[str], *, seed: int = 0
) -> np.ndarray:
    """``ap50`` over all images, then over each of the draws of images that intervals are taken from.

    Args:
        found: Image -> detections.
        truth: Image -> objects.
        names: The classes.
        seed: Of the draws; with the same one they are the same for other detections in these images.
    """
    return _ap50(found, truth, names, _weights(len(truth), seed))


def over_draws(ranked: Ranked, weights: np.ndarray, curve: Curve) -> np.ndarray:
    """A score of each draw.

    Args:
        ranked: The detections.
        weights: (draws, images) how often each image counts.
        curve: From hits and false positives so far (draws, n) and the number of objects and images (draws, 2).

    Returns:
        (draws,) or (draws, k); nan where no object counts.
    """
    size = max(1, AT_ONCE // max(1, len(ranked.image)))
    parts = []
    for start in range(0, len(weights), size):
        part = weights[start : start + size]
        of_each = part[:, ranked.image]
        hits, alarms = ((of_each * (ranked.hit == what)).cumsum(1) for what in (1, 0))
        totals = np.stack([part @ ranked.objects, part.sum(1)], 1)
        result = curve(hits, alarms, totals)
        empty = totals[:, 0] == 0
        result[empty] = nan
        parts.append(result)
    return np.concatenate(parts)


def area_under_envelope(hits: np.ndarray, alarms: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Pascal VOC's average precision: each precision is the highest at this or a greater recall."""
    envelope = _envelope(hits, alarms)
    gained = np.diff(hits, axis=1, prepend=0)
    return (envelope * gained).sum(1) / np.maximum(totals[:, 0], 1)


def precision_at_recalls(hits: np.ndarray, alarms: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """COCO's average precision: the mean of the envelope at the recalls 0, 0.01, ... 1."""
    envelope = np.concatenate([_envelope(hits, alarms), np.zeros((len(hits), 1))], 1)
    recall = hits / np.maximum(totals[:, :1], 1)
    places = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    return np.array([row[place].mean() for row, place in zip(envelope, places, strict=True)])


def sensitivity_at(hits: np.ndarray, alarms: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Highest share of objects found with no more than 1/8, 1/4 ... 8 false positives an image: (draws, 7)."""
    start = np.zeros((len(hits), 1))
    hits, alarms = np.concatenate([start, hits], 1), np.concatenate([start, alarms], 1)
    allowed = [np.where(alarms <= rate * totals[:, 1:], hits, 0).max(1) for rate in RATES]
    return np.stack(allowed, 1) / np.maximum(totals[:, :1], 1)


def _envelope(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    precision = hits / np.maximum(hits + alarms, 1e-12)
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def _draw(
    found: Mapping[str, Found], truth: Mapping[str, Truth], names: Sequence[str], seed: int
) -> tuple[dict[str, Ranked], dict[str, dict[str, np.ndarray]]]:
    """The detections of each class at VOC's overlap; of each class each score over all images, then over each draw."""
    if strange := [id for id in found if id not in truth]:
        raise InputError(f"score_detections: images must be those of the truth, '{strange[0]}' is not among them.")
    images = list(truth)
    voc = {name: _rank(found, truth, name, images, 0.5, match_voc, None) for name in names}
    weights = _weights(len(images), seed)
    values: dict[str, dict[str, np.ndarray]] = {}
    for name in names:
        coco = [_rank(found, truth, name, images, overlap, match_coco, MOST) for overlap in COCO_OVERLAPS]
        at_rates = over_draws(voc[name], weights, sensitivity_at)
        values[name] = {
            "ap50": over_draws(voc[name], weights, area_under_envelope),
            "ap": np.mean([over_draws(ranked, weights, precision_at_recalls) for ranked in coco], 0),
            "sensitivity": at_rates.mean(-1),
            "sensitivity_at": at_rates,
        }
    return voc, values


def _ap50(
    found: Mapping[str, Found], truth: Mapping[str, Truth], names: Sequence[str], weights: np.ndarray
) -> np.ndarray:
    ranked = {name: _rank(found, truth, name, list(truth), 0.5, match_voc, None) for name in names}
    values = {name: {"ap50": over_draws(one, weights, area_under_envelope)} for name, one in ranked.items()}
    scores = _mean(values, "ap50")
    return np.broadcast_to(scores, len(weights))  # without a class it is one nan


def _average(
    found: Sequence[Mapping[str, Found]], truth: Mapping[str, Truth], names: Sequence[str], seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Of each class each score over all images, then over each draw, the mean over detectors."""
    each = [_draw(one, truth, names, seed)[1] for one in found]
    return {name: {score: np.mean([values[name][score] for values in each], 0) for score in each[0][name]}
            for name in names}  # fmt: skip


def _rank(
    found: Mapping[str, Found],
    truth: Mapping[str, Truth],
    name: str,
    images: Sequence[str],
    overlap: float,
    match: Callable[[Found, Truth, float], np.ndarray],
    most: int | None,
) -> Ranked:
    numbers, scores, hits, objects = [], [], [], []
    for number, id in enumerate(images):
        there = truth[id].of(name)
        objects.append(int((~there.ignored).sum()))
        said = found[id].of(name, most) if id in found else None
        if said is not None and len(said.scores):
            numbers.append(np.full(len(said.scores), number))
            scores.append(said.scores)
            hits.append(match(said, there, overlap))
    if not numbers:
        return Ranked(np.zeros(0, int), np.zeros(0), np.zeros(0, int), np.array(objects))
    sure = np.concatenate(scores)
    order = np.argsort(-sure, kind="stable")
    return Ranked(np.concatenate(numbers)[order], sure[order], np.concatenate(hits)[order], np.array(objects))


def _weights(images: int, seed: int) -> np.ndarray:
    """All images once, then the draws."""
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / max(images, 1)), size=DRAWS)
    return np.concatenate([np.ones((1, images)), drawn])


def _mean(values: Mapping[str, Mapping[str, np.ndarray]], score: str) -> np.ndarray:
    """Over the classes that have an object, of each draw."""
    table = np.stack([found[score] for found in values.values()]) if values else np.full((1, 1), nan)
    known = ~np.isnan(table)
    return np.where(known.any(0), np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1), nan)


def _with_interval(draws: np.ndarray, images: Sequence[str]) -> dict[str, float]:
    known = draws[1:][~np.isnan(draws[1:])]
    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    low, high = np.quantile(known, ends) if len(known) and len(images) >= FEWEST else (nan, nan)
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def _of_class(values: Mapping[str, np.ndarray], objects: int, images: Sequence[str]) -> dict[str, Any]:
    at = dict(zip((f"{rate:g}" for rate in RATES), values["sensitivity_at"][0].tolist(), strict=True))
    scores = {score: _with_interval(values[score], images) for score in SCORES}
    return {"n": objects, **scores, "sensitivity_at": at}


def _counted(ranked: Mapping[str, Ranked], image: int, what: int) -> int:
    return int(sum(((one.image == image) & (one.hit == what)).sum() for one in ranked.values()))
