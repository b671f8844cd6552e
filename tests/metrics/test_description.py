"""Scores of descriptions, worked by hand."""

import math

import numpy as np
import pytest

from saccade.metrics.description import match_regions, recall_at, score_descriptions
from saccade.metrics.detection_match import Found, Truth

ROUND, OVAL = {"shape": "round", "margin": "sharp"}, {"shape": "oval", "margin": "sharp"}


def found(*rows: tuple) -> Found:
    """Rows of x, score and class; each box is 10 x 10 from x on."""
    boxes = np.array([[x, 0, x + 10, 10] for x, *_ in rows], float).reshape(-1, 4)
    return Found(boxes, np.array([row[1] for row in rows], float), tuple(row[2] for row in rows))


def truth(*rows: tuple, difficult: tuple[int, ...] = ()) -> Truth:
    boxes = np.array([[x, 0, x + 10, 10] for x, _ in rows], float).reshape(-1, 4)
    flags = np.array([number in difficult for number in range(len(rows))], bool)
    return Truth(boxes, tuple(name for _, name in rows), flags, np.zeros(len(rows), bool))


def scored() -> dict:
    """Image a: two lesions found, the class of the second wrong; b: one of two found; c: a false alarm; d: nothing.

    shape: right, wrong | right, missed | - ; margin: right, right | not known, missed.
    """
    detections = {
        "a": found((0, 0.9, "mass"), (100, 0.8, "cyst")),
        "b": found((1, 0.7, "mass"), (300, 0.6, "mass")),
        "c": found((0, 0.9, "mass")),
    }
    said = {
        "a": [{**ROUND, "sentence": "s"}, {**ROUND, "sentence": "s"}],
        "b": [OVAL, OVAL],
        "c": [ROUND],
    }
    objects = {
        "a": truth((0, "mass"), (100, "mass")),
        "b": truth((0, "mass"), (100, "mass"), (300, "mass"), difficult=(2,)),
        "c": truth(),
        "d": truth(),
    }
    known = {"a": [ROUND, OVAL], "b": [{"shape": "oval"}, ROUND, OVAL], "c": [], "d": []}
    result = score_descriptions(detections, said, objects, known)
    assert result is not None
    return result


def test_worked_example() -> None:
    result = scored()
    shape, margin = result["per_descriptor"]["shape"], result["per_descriptor"]["margin"]
    assert (shape["n"], shape["found"]) == (4, 3)
    assert shape["accuracy"]["value"] == pytest.approx(2 / 3)
    assert shape["balanced_accuracy"]["value"] == pytest.approx((1 / 1 + 1 / 2) / 2)
    assert shape["end_to_end"]["value"] == pytest.approx(2 / 4)
    assert (margin["n"], margin["found"]) == (3, 2)
    assert margin["accuracy"]["value"] == 1.0
    assert margin["end_to_end"]["value"] == pytest.approx(2 / 3)
    summary = {key: score["value"] for key, score in result["summary"].items()}
    assert summary["recall_at_4"] == pytest.approx(3 / 4)
    assert summary["descriptors"] == pytest.approx((2 / 3 + 1) / 2)
    assert summary["descriptors_end_to_end"] == pytest.approx((2 / 4 + 2 / 3) / 2)
    # all known of three objects, two of them found; the first alone is right in everything
    assert summary["sentence"] == pytest.approx(1 / 2)
    assert summary["sentence_end_to_end"] == pytest.approx(1 / 3)
    assert result["cases"] == {
        "a": {"found": 2, "sentences": 1},
        "b": {"found": 1, "sentences": 0},
        "c": {"found": 0, "sentences": 0},
        "d": {"found": 0, "sentences": 0},
    }


def test_a_sentence_with_the_wrong_class_is_wrong() -> None:
    for name, right in (("mass", 1.0), ("cyst", 0.0)):
        result = score_descriptions(
            {"a": found((0, 0.9, name))}, {"a": [ROUND]}, {"a": truth((0, "mass"))}, {"a": [ROUND]}
        )
        assert result is not None
        assert result["summary"]["descriptors"]["value"] == 1.0
        assert result["summary"]["sentence"]["value"] == right
        assert math.isnan(result["summary"]["sentence"]["low"])  # of one image nothing is said


def test_intervals_hold_the_value_and_follow_from_the_images() -> None:
    rng = np.random.default_rng(0)
    images = [f"i{number}" for number in range(40)]
    said = {id: [{"shape": "round" if rng.random() < 0.7 else "oval"}] for id in images}
    result = score_descriptions(
        dict.fromkeys(images, found((0, 0.9, "mass"))),
        said,
        dict.fromkeys(images, truth((0, "mass"))),
        {id: [{"shape": "round"}] for id in images},
    )
    assert result is not None
    score = result["per_descriptor"]["shape"]["accuracy"]
    assert score["value"] == np.mean([item[0]["shape"] == "round" for item in said.values()])
    # four standard errors of a share of 0.7 among 40 are 0.29
    assert score["low"] < score["value"] < score["high"]
    assert 0.2 < score["high"] - score["low"] < 0.36


@pytest.mark.parametrize(
    ("said", "known"),
    [([{}], [ROUND]), ([{"sentence": "s"}], [ROUND]), ([ROUND], [{"pose": "left"}])],
)
def test_nothing_described_is_nothing_scored(said, known) -> None:
    assert (
        score_descriptions({"a": found((0, 0.9, "mass"))}, {"a": said}, {"a": truth((0, "mass"))}, {"a": known}) is None
    )


def test_descriptions_without_any_object_have_no_score() -> None:
    result = score_descriptions(
        {"a": found((0, 0.9, "mass"))}, {"a": [ROUND]}, {"a": truth(), "b": truth((0, "mass"))}, {"a": [], "b": [ROUND]}
    )
    assert result is not None
    assert math.isnan(result["summary"]["descriptors"]["value"])
    assert result["summary"]["descriptors_end_to_end"]["value"] == 0.0


def test_the_surest_detection_takes_the_object_that_it_overlaps_most_of_those_still_free() -> None:
    there = truth((0, "mass"), (3, "mass"), (50, "mass"), difficult=(2,))
    # the second is nearer to the first object, which the surer third one has; what overlaps a difficult one is free
    assert match_regions(found((40, 0.9, "x"), (1, 0.5, "x"), (0, 0.8, "x"), (50, 0.9, "x")), there) == [2, 1, None]
    assert match_regions(None, there) == [None, None, None]


def test_recall_looks_at_the_surest_only() -> None:
    detections = {"a": found(*[(x, 0.5 + x / 1000, "x") for x in (100, 200, 300, 400, 0)])}
    objects = {"a": truth((0, "x"), (100, "x")), "b": truth((0, "x"))}
    assert recall_at(detections, objects) == pytest.approx(1 / 3)
    assert recall_at(detections, objects, most=5) == pytest.approx(2 / 3)
    assert math.isnan(recall_at({}, {"a": truth()}))
