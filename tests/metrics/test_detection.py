"""Scores of detections: what pycocotools gives, what the VOC definition gives by hand, and laws of both."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from saccade.errors import InputError
from saccade.metrics.detection import (
    COCO_OVERLAPS,
    ap50,
    ap50_of_draws,
    average_detectors,
    compare_detections,
    score_detections,
)
from saccade.metrics.detection_match import Found, Truth, judge, match_coco, match_voc

NAMES = ("red", "white")


def objects(boxes: list, names: list[str] | None = None, difficult: tuple = (), crowd: tuple = ()) -> Truth:
    flags = [np.array([n in which for n in range(len(boxes))], bool) for which in (difficult, crowd)]
    return Truth(np.array(boxes, float).reshape(-1, 4), tuple(names or ["red"] * len(boxes)), *flags)


def detections(boxes: list, scores: list[float], names: list[str] | None = None) -> Found:
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(scores), tuple(names or ["red"] * len(boxes)))


def draw(seed: int, images: int = 6, crowds: bool = False) -> tuple[dict[str, Found], dict[str, Truth]]:
    """Objects, and detections that lie near them or anywhere."""
    r = np.random.default_rng(seed)
    found, truth = {}, {}
    for number in range(images):
        count = int(r.integers(0, 6))
        low = r.uniform(0, 80, (count, 2))
        boxes = np.concatenate([low, low + r.uniform(8, 40, (count, 2))], 1)
        names = [NAMES[n] for n in r.integers(0, 2, count)]
        crowd = r.random(count) < (0.25 if crowds else 0)
        truth[str(number)] = Truth(boxes, tuple(names), np.zeros(count, bool), crowd)
        near = [box + r.normal(0, 3, 4) for box in boxes for _ in range(int(r.integers(0, 3)))]
        told = [name for name in names for _ in range(1)]
        wrong = [np.r_[p, p + r.uniform(8, 40, 2)] for p in r.uniform(0, 80, (int(r.integers(0, 4)), 2))]
        said = [*near, *wrong]
        kinds = [NAMES[n] for n in r.integers(0, 2, len(said))]
        for n in range(min(len(near), len(told))):
            kinds[n] = told[n]
        if said:
            found[str(number)] = detections(said, r.permutation(len(said) * 7)[: len(said)] / 50.0, kinds)
    return found, truth


def by_pycocotools(found: dict[str, Found], truth: dict[str, Truth]) -> np.ndarray:
    """Precision (overlaps, recalls, classes) as the COCO code computes it."""
    annotations = [
        {
            "id": 0,
            "image_id": int(id),
            "category_id": NAMES.index(name) + 1,
            "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
            "area": (b[2] - b[0]) * (b[3] - b[1]),
            "iscrowd": int(crowd),
        }
        for id, one in truth.items()
        for b, name, crowd in zip(one.boxes, one.names, one.crowd, strict=True)
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    rows = [
        [int(id), b[0], b[1], b[2] - b[0], b[3] - b[1], score, NAMES.index(name) + 1]
        for id, one in found.items()
        for b, score, name in zip(one.boxes, one.scores, one.names, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": int(id)} for id in truth],
            "annotations": annotations,
            "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(np.array(rows)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, -1]


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_ap_is_what_pycocotools_gives(seed: int, crowds: bool) -> None:
    found, truth = draw(seed, images=8, crowds=crowds)
    wanted = by_pycocotools(found, truth)
    result = score_detections(found, truth, NAMES)
    for number, name in enumerate(NAMES):
        assert result["per_class"][name]["ap"]["value"] == pytest.approx(wanted[:, :, number].mean(), abs=1e-9)
    assert len(COCO_OVERLAPS) == len(wanted)
    assert result["summary"]["ap"]["value"] == pytest.approx(wanted.mean(), abs=1e-9)


def test_ap50_by_hand() -> None:
    truth = {"a": objects([[0, 0, 10, 10], [20, 20, 30, 30]]), "b": objects([[0, 0, 10, 10]])}
    found = {
        "a": detections([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 29]], [0.9, 0.8, 0.6]),
        "b": detections([[50, 50, 60, 60]], [0.7]),
    }
    # hit, double, false, hit: precisions 1, 1/2, 1/3, 2/4 at recalls 1/3, 1/3, 1/3, 2/3
    result = score_detections(found, truth, ["red"])
    assert result["summary"]["ap50"]["value"] == pytest.approx(1 / 3 * 1 + 1 / 3 * 0.5)
    assert result["cases"] == {
        "a": {"objects": 2, "hits": 2, "false_positives": 1},
        "b": {"objects": 1, "hits": 0, "false_positives": 1},
    }
    at = result["per_class"]["red"]["sensitivity_at"]
    assert (at["0.25"], at["0.5"], at["1"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_difficult_objects_count_neither_way() -> None:
    truth = {"a": objects([[0, 0, 10, 10], [20, 20, 30, 30]], difficult=(0,))}
    found = {"a": detections([[0, 0, 10, 10], [20, 20, 30, 30]], [0.9, 0.8])}
    assert score_detections(found, truth, ["red"])["summary"]["ap50"]["value"] == 1
    missed = {"a": detections([[20, 20, 30, 30]], [0.8])}
    assert score_detections(missed, truth, ["red"])["summary"]["ap50"]["value"] == 1


def test_voc_gives_an_object_to_the_first_coco_to_the_next_free() -> None:
    truth = objects([[0, 0, 10, 10], [0, 2, 10, 12]])
    twice = detections([[0, 0, 10, 10.5], [0, 0, 10, 10.2]], [0.9, 0.8])
    assert match_voc(twice, truth, 0.5).tolist() == [1, 0]
    assert match_coco(twice, truth, 0.5).tolist() == [1, 1]


def test_what_is_not_there_is_nan_and_nothing_found_is_zero() -> None:
    truth = {"a": objects([[0, 0, 10, 10]])}
    result = score_detections({}, truth, NAMES)
    assert result["summary"]["ap50"]["value"] == 0
    assert np.isnan(result["per_class"]["white"]["ap"]["value"])
    assert np.isnan(result["summary"]["ap50"]["low"])  # one image says nothing of others
    with pytest.raises(InputError, match="'b' is not among them"):
        score_detections({"b": detections([[0, 0, 1, 1]], [1.0])}, truth, NAMES)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_lie_in_their_intervals_and_know_only_the_order_of_scores(seed: int) -> None:
    found, truth = draw(seed)
    result = score_detections(found, truth, NAMES)["summary"]
    for score in result.values():
        if np.isnan(score["value"]):
            continue
        assert 0 <= score["low"] <= score["high"] <= 1
    other = {id: Found(one.boxes, np.exp(3 * one.scores), one.names) for id, one in found.items()}
    again = score_detections(other, truth, NAMES)["summary"]
    assert [again[s]["value"] for s in again] == pytest.approx([result[s]["value"] for s in result], nan_ok=True)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_a_false_positive_never_helps_and_the_truth_itself_is_perfect(seed: int) -> None:
    found, truth = draw(seed)
    before = score_detections(found, truth, NAMES)["summary"]["ap50"]["value"]
    far = detections([[500, 500, 510, 510]] * 2, [99.0, 0.01], list(NAMES))
    had = found.get("0")
    worse = far
    if had is not None:
        worse = Found(np.r_[had.boxes, far.boxes], np.r_[had.scores, far.scores], had.names + far.names)
    after = score_detections({**found, "0": worse}, truth, NAMES)["summary"]["ap50"]["value"]
    assert np.isnan(before) or after <= before + 1e-12
    perfect = {id: Found(one.boxes, np.ones(len(one.names)), one.names) for id, one in truth.items()}
    values = [s["value"] for s in score_detections(perfect, truth, NAMES)["summary"].values()]
    assert all(np.isnan(v) or v == pytest.approx(1) for v in values)


def test_curve_and_working_point_by_hand() -> None:
    truth = {"a": objects([[0, 0, 10, 10], [20, 20, 30, 30]], ["red", "white"]), "b": objects([[0, 0, 10, 10]])}
    found = {
        "a": detections([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], [0.9, 0.8, 0.6], ["red", "red", "white"]),
        "b": detections([[50, 50, 60, 60], [0, 0, 10, 10]], [0.7, 0.1]),
    }
    result = score_detections(found, truth, NAMES)
    # red: hit 0.9, double 0.8, false 0.7, hit 0.1: recalls 1/2 and 1, precisions 1 and 2/4
    assert result["per_class"]["red"]["curve"] == [(0.5, 1.0), (1.0, 0.5)]
    assert result["per_class"]["white"]["curve"] == [(1.0, 1.0)]
    # of 3 objects: F1 from 0.9 on is 2 / (1 + 3), from 0.6 on 4 / (4 + 3), from 0.1 on 6 / (5 + 3)
    assert result["working_point"] == {"score": 0.1, "precision": 0.6, "recall": 1.0, "f1": 0.75}
    tied = {"a": detections([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.9])}
    assert score_detections(tied, {"a": truth["a"]}, ["red"])["working_point"]["precision"] == 0.5
    assert np.isnan(score_detections({}, truth, NAMES)["working_point"]["score"])


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    truth = {"a": objects([[20 * n, 0, 20 * n + 10, 10] for n in range(300)])}
    found = {"a": detections(truth["a"].boxes.tolist(), [1 - n / 1000 for n in range(300)])}
    curve = score_detections(found, truth, ["red"])["per_class"]["red"]["curve"]
    assert (len(curve), curve[0], curve[-1]) == (100, (1 / 300, 1.0), (1.0, 1.0))


def test_each_detection_and_object_is_judged_as_the_scores_do() -> None:
    truth = objects([[0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]], ["red", "white", "red"], difficult=(2,))
    found = detections(
        [[0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]], [0.5, 0.9, 0.8, 0.7], ["red"] * 4
    )
    states, reached = judge(found, truth)
    assert states.tolist() == [0, 1, 0, -1]  # the surer of two is the hit; a white one called red; difficult
    assert reached.tolist() == [True, False, False]


def test_a_comparison_is_that_of_the_scores_over_the_same_draws() -> None:
    found, truth = draw(0)
    fewer = {id: Found(one.boxes[:1], one.scores[:1], one.names[:1]) for id, one in found.items()}
    a, b = (score_detections(side, truth, NAMES)["summary"] for side in (found, fewer))
    compared = compare_detections([found], [fewer], truth, NAMES)
    for score, pair in compared.items():
        assert (pair["mean"], pair["mean_other"]) == (a[score]["value"], b[score]["value"])
        assert pair["difference"] == pytest.approx(pair["mean"] - pair["mean_other"])
        assert pair["low"] <= pair["difference"] <= pair["high"]
    same = compare_detections([found], [found], truth, NAMES)["ap50"]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)  # whatever the draw, nothing differs


def test_ap50_alone_is_that_of_all_scores() -> None:
    rng = np.random.default_rng(3)
    truth, found = {}, {}
    for number in range(7):
        low = rng.uniform(0, 50, (4, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 20, (4, 2))], 1)
        names = tuple(rng.choice(["a", "b"], 4))
        none = np.zeros(4, bool)
        truth[str(number)] = Truth(boxes, names, none, none)
        found[str(number)] = Found(boxes + rng.normal(0, 2, boxes.shape), rng.uniform(size=4), names)
    every = score_detections(found, truth, ["a", "b", "c"])["summary"]["ap50"]
    assert ap50(found, truth, ["a", "b", "c"]) == pytest.approx(every["value"])
    draws = ap50_of_draws(found, truth, ["a", "b", "c"])
    assert draws[0] == pytest.approx(every["value"])
    np.testing.assert_allclose(np.quantile(draws[1:], [0.025, 0.975]), [every["low"], every["high"]])
    assert np.isnan(ap50(found, truth, []))


def test_several_trainings_are_averaged() -> None:
    found, truth = draw(1)
    other = {id: Found(one.boxes[:1], one.scores[:1], one.names[:1]) for id, one in found.items()}
    single = [score_detections(side, truth, NAMES) for side in (found, other)]
    mean = average_detectors([found, other], truth, NAMES)
    for score, value in mean["summary"].items():
        assert value["value"] == pytest.approx(np.mean([one["summary"][score]["value"] for one in single]))
        assert value["low"] <= value["value"] <= value["high"]
    assert [mean["per_class"][name]["n"] for name in NAMES] == [single[0]["per_class"][name]["n"] for name in NAMES]
