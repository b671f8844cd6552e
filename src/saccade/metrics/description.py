"""Scores of lesions that were found and described: recall among the surest candidates, descriptors, whole sentences.

Accuracies on what was found correctly and, end to end, on everything that was there: an object that was not found is
described wrongly. Which class a detection has does not matter for whether its region is right. Intervals draw images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import torch

from saccade.layers.boxes import jaccard
from saccade.metrics.detection_match import Found, Truth
from saccade.metrics.ranking import bootstrap

SENTENCE = "sentence"  # what is said beside the descriptors
OVERLAP, MOST = 0.5, 4  # of a correct region; candidates of an image that the paper's figure shows
SUMMARY = ("recall_at_4", "descriptors", "descriptors_end_to_end", "sentence", "sentence_end_to_end")
PER_DESCRIPTOR = ("accuracy", "balanced_accuracy", "end_to_end")
Said = Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Described:
    """An object that counts, and its detection.

    Attributes:
        image: Number of its image.
        name: Its class.
        values: Descriptor -> value, of those that are known.
        said_name: The class of its detection; None if it was not found.
        said: What is said of the detection, by name.
    """

    image: int
    name: str
    values: Mapping[str, str]
    said_name: str | None
    said: Mapping[str, str]

    def right(self, names: Sequence[str]) -> bool:
        """Whether it was found and these descriptors are right."""
        return self.said_name is not None and all(self.said.get(name) == self.values[name] for name in names)


@dataclass(frozen=True)
class Answers:
    """Answers to one question on objects, over all images.

    Attributes:
        image: (n,) Number of each one's image.
        truth: (n,) What is right.
        found: (n,) Whether the object was found.
        right: (n,) Whether that was said.
    """

    image: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    right: np.ndarray

    def statistics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Of each draw of images, (draws, images): accuracies."""
        each = weights[:, self.image]
        by_value = [_share(each, (self.truth == value) & self.found, self.right) for value in np.unique(self.truth)]
        return {
            "accuracy": _share(each, self.found, self.right),
            "balanced_accuracy": _mean_known(by_value),
            "end_to_end": _share(each, np.ones_like(self.found), self.right),
        }


def score_descriptions(
    found: Mapping[str, Found], said: Said, truth: Mapping[str, Truth], known: Said
) -> dict[str, Any] | None:
    """Scores of descriptions, or None where nothing is described.

    Args:
        found: Image -> detections; an image that is not there has none.
        said: Image -> for each detection its descriptors and what else is said, by name.
        truth: Image -> objects, for every image that counts.
        known: Image -> for each object its descriptors; what is not known is not there.

    Returns:
        ``summary``: ``recall_at_4`` (share of the objects that one of the four surest detections overlaps by half),
        ``descriptors`` and ``descriptors_end_to_end`` (mean accuracies over descriptors), ``sentence`` and
        ``sentence_end_to_end`` (class and all descriptors right, of objects with all of them known).
        ``per_descriptor``: each one's ``accuracy``, ``balanced_accuracy`` (mean over its values) and ``end_to_end``,
        and the objects ``n`` and those ``found``. All with ``value``, ``low`` and ``high``, nan where there is nothing
        to score. ``cases``: of each image the objects that were ``found`` and the ``sentences`` that were right.
    """
    there = {name for objects in known.values() for item in objects for name in item}
    names = [
        name
        for name in dict.fromkeys(name for objects in said.values() for item in objects for name in item)
        if name in there and name != SENTENCE
    ]
    if not names:
        return None
    images = list(truth)
    objects = [item for number, id in enumerate(images) for item in _described(number, id, found, said, truth, known)]
    answers = {name: _of_descriptor(objects, name) for name in names}
    sentence = _of_sentences([item for item in objects if all(name in item.values for name in names)], names)
    recall = np.array([_recalled(found.get(id), truth[id]) for id in images])

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        each = {name: answer.statistics(weights) for name, answer in answers.items()}
        whole = sentence.statistics(weights)
        totals = weights @ recall
        values = {f"{name} {key}": part for name, own in each.items() for key, part in own.items()}
        return {
            **values,
            "recall_at_4": np.where(totals[:, 1] > 0, totals[:, 0] / np.maximum(totals[:, 1], 1e-12), nan),
            "descriptors": _mean_known([own["accuracy"] for own in each.values()]),
            "descriptors_end_to_end": _mean_known([own["end_to_end"] for own in each.values()]),
            "sentence": whole["accuracy"],
            "sentence_end_to_end": whole["end_to_end"],
        }

    values = statistics(np.ones((1, len(images))))
    ends = bootstrap(statistics, len(images))
    scores = {
        key: {"value": float(value[0]), "low": ends[key][0], "high": ends[key][1]} for key, value in values.items()
    }
    return {
        "summary": {key: scores[key] for key in SUMMARY},
        "per_descriptor": {
            name: {
                "n": len(answer.found),
                "found": int(answer.found.sum()),
                **{key: scores[f"{name} {key}"] for key in PER_DESCRIPTOR},
            }
            for name, answer in answers.items()
        },
        "cases": {
            id: {
                "found": sum(item.said_name is not None for item in objects if item.image == number),
                "sentences": int(sentence.right[sentence.image == number].sum()),
            }
            for number, id in enumerate(images)
        },
    }


def match_regions(found: Found | None, truth: Truth, *, overlap: float = OVERLAP) -> list[int | None]:
    """The detection of each object that counts, whatever its class: the surest first take the object that they overlap
    most of those still free; None for an object that is not found.

    Args:
        found: Of an image.
        truth: Its objects; difficult ones and crowds are never taken.
        overlap: Jaccard overlap from which a region is right.
    """
    taken: list[int | None] = [None] * len(truth.boxes)
    if found is None or not len(found.scores) or not len(truth.boxes):
        return taken
    overlaps = jaccard(torch.from_numpy(found.boxes), torch.from_numpy(truth.boxes)).numpy()
    overlaps[:, truth.ignored] = 0
    for detection in np.argsort(-found.scores, kind="stable"):
        best = int(overlaps[detection].argmax())
        if overlaps[detection, best] >= overlap:
            taken[best] = int(detection)
            overlaps[:, best] = 0
    return taken


def recall_at(found: Mapping[str, Found], truth: Mapping[str, Truth], *, most: int = MOST) -> float:
    """Share of the objects of all images that one of the surest detections of their image overlaps by half.

    Args:
        found: Image -> detections.
        truth: Image -> objects.
        most: How many detections of an image are looked at.

    Returns:
        0 to 1, nan where there is no object.
    """
    hits, objects = np.sum([_recalled(found.get(id), there, most) for id, there in truth.items()], 0)
    return float(hits / objects) if objects else nan


def _described(
    number: int, id: str, found: Mapping[str, Found], said: Said, truth: Mapping[str, Truth], known: Said
) -> list[Described]:
    """The objects of an image that count."""
    there, own = truth[id], found.get(id)
    objects = []
    for place, (values, hit) in enumerate(zip(known[id], match_regions(own, there), strict=True)):
        if not there.ignored[place]:
            name, words = (None, {}) if own is None or hit is None else (own.names[hit], said[id][hit])
            objects.append(Described(number, there.names[place], values, name, words))
    return objects


def _of_descriptor(objects: Sequence[Described], name: str) -> Answers:
    known = [item for item in objects if name in item.values]
    return _answers(known, [item.values[name] for item in known], [item.right([name]) for item in known])


def _of_sentences(objects: Sequence[Described], names: Sequence[str]) -> Answers:
    right = [item.right(names) and item.said_name == item.name for item in objects]
    return _answers(objects, [""] * len(objects), right)


def _answers(objects: Sequence[Described], truth: Sequence[str], right: Sequence[bool]) -> Answers:
    return Answers(
        np.array([item.image for item in objects], int),
        np.array(truth, str),
        np.array([item.said_name is not None for item in objects], bool),
        np.array(right, bool),
    )


def _recalled(found: Found | None, truth: Truth, most: int = MOST) -> tuple[int, int]:
    """Objects that one of the surest detections overlaps by half, and objects."""
    boxes = torch.from_numpy(truth.boxes[~truth.ignored])
    if found is None or not len(found.scores) or not len(boxes):
        return 0, len(boxes)
    order = np.argsort(-found.scores, kind="stable")[:most]
    return int((jaccard(torch.from_numpy(found.boxes[order]), boxes).amax(0) >= OVERLAP).sum()), len(boxes)


def _share(weights: np.ndarray, counted: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weight of what counts and is right over that of what counts, (draws,); nan where nothing counts."""
    whole = weights @ counted.astype(float)
    return np.where(whole > 0, weights @ (counted & right).astype(float) / np.maximum(whole, 1e-12), nan)


def _mean_known(parts: Sequence[np.ndarray]) -> np.ndarray:
    table = np.stack(parts) if parts else np.full((1, 1), nan)
    count = (~np.isnan(table)).sum(0)
    return np.where(count > 0, np.nansum(table, 0) / np.maximum(count, 1), nan)
