"""Lesions: worked by hand, against brute force, laws of a case, what is refused."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from saccade.errors import InputError
from saccade.metrics import LesionScores, score_lesions

OVERLAPS = st.sampled_from([0.0, 0.1, 0.3, 0.5])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Two masks, sparse enough to have several components, and a spacing."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6))
    mask = arrays(bool, shape, elements=st.sampled_from([False, False, False, True]))
    return draw(mask), draw(mask), draw(st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * len(shape)))


def brute_components(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Flood fill over faces, edges and corners, in the order of the first voxel."""
    left = {tuple(map(int, index)) for index in np.argwhere(mask)}
    steps = list(product((-1, 0, 1), repeat=mask.ndim))
    components = []
    while left:
        front, component = [min(left)], set()
        while front:
            voxel = front.pop()
            if voxel in left:
                left.remove(voxel)
                component.add(voxel)
                front += [tuple(a + b for a, b in zip(voxel, step, strict=True)) for step in steps]
        components.append(component)
    return components


def brute_best_sum(table: list[list[float]]) -> float:
    """The largest sum over all ways to give each row a column of its own, or none."""
    if not table:
        return 0.0
    columns = list(range(len(table[0]))) + [-1] * len(table)
    return max(
        sum(row[place] if place >= 0 else 0.0 for row, place in zip(table, order, strict=True))
        for order in set(permutations(columns, len(table)))
    )


@settings(max_examples=80, deadline=None)
@given(cases(), OVERLAPS)
def test_equals_brute_force(case, overlap):
    prediction, truth, spacing = case
    predicted, true = brute_components(prediction), brute_components(truth)
    assume(len(true) <= 3 and len(predicted) <= 4)
    found = score_lesions(prediction, truth, spacing, overlap=overlap)

    def belong(a: set, b: set) -> bool:
        return len(a & b) >= max(overlap * len(a | b), 1)

    table = [[2 * len(a & b) / (len(a) + len(b)) if belong(a, b) else 0.0 for a in predicted] for b in true]
    ml = math.prod(spacing) / 1000
    assert [lesion.ml for lesion in found.lesions] == pytest.approx([len(b) * ml for b in true])
    for lesion, b in zip(found.lesions, true, strict=True):
        assert lesion.centre == pytest.approx(np.mean(sorted(b), axis=0))
        ends = [(0, size - 1) for size in truth.shape]
        at_end = any(p in end for voxel in b for p, end in zip(voxel, ends, strict=True) if end[1] > 0)
        assert lesion.touches_border == at_end
    assert sum(lesion.dice for lesion in found.lesions) == pytest.approx(brute_best_sum(table))
    assert found.n_predicted == len(predicted)
    lesions = set().union(*true)
    alarms = [len(a) * ml for a in predicted if not any(belong(a, b) for b in true) and len(a & lesions) < len(a) / 2]
    assert found.false_positives_ml == pytest.approx(alarms)


def numbers(scores: LesionScores) -> tuple:
    lesions = sorted((round(x.ml, 9), x.touches_border) for x in scores.lesions)
    dice = sum(x.dice for x in scores.lesions)
    return lesions, round(dice, 9), scores.n_predicted, sorted(round(x, 9) for x in scores.false_positives_ml)


@settings(max_examples=60, deadline=None)
@given(cases(), OVERLAPS, st.data())
def test_axis_order_flips_and_a_slab_change_nothing(case, overlap, data):
    prediction, truth, spacing = case
    expected = numbers(score_lesions(prediction, truth, spacing, overlap=overlap))
    order = data.draw(st.permutations(range(truth.ndim)))
    axis = data.draw(st.integers(0, truth.ndim - 1))
    turned = [np.flip(mask.transpose(order), axis) for mask in (prediction, truth)]
    assert numbers(score_lesions(*turned, [spacing[axis] for axis in order], overlap=overlap)) == expected
    slab = [mask[..., None] for mask in (prediction, truth)]
    assert numbers(score_lesions(*slab, (*spacing, 1.0), overlap=overlap)) == expected


@settings(max_examples=100, deadline=None)
@given(cases(), OVERLAPS, st.data())
def test_losing_what_was_predicted_never_finds_more(case, overlap, data):
    prediction, truth, spacing = case
    components = brute_components(prediction)
    assume(components)
    lost = data.draw(st.sampled_from(components))
    fewer = prediction.copy()
    fewer[tuple(np.array(sorted(lost)).T)] = False
    before, after = (score_lesions(mask, truth, spacing, overlap=overlap) for mask in (prediction, fewer))
    assert after.n_found <= before.n_found
    assert sum(x.dice for x in after.lesions) <= sum(x.dice for x in before.lesions) + 1e-9
    alarms = len(before.false_positives_ml) - len(after.false_positives_ml)
    assert alarms in (0, 1)
    assert not alarms or after.n_found == before.n_found  # a false alarm never was what found a lesion


def test_worked_by_hand():
    truth, prediction = np.zeros((7, 20), bool), np.zeros((7, 20), bool)
    truth[0, 0:4] = True  # found by half of it, at the border
    prediction[0, 2:4] = True
    truth[3, 8:10], truth[4, 10] = True, True  # one lesion over a corner, found exactly
    prediction[3, 8:10], prediction[4, 10] = True, True
    truth[5, 3] = True  # missed
    prediction[2:4, 15:18] = True  # false alarm
    found = score_lesions(prediction, truth, (10.0, 5.0))
    assert [lesion.dice for lesion in found.lesions] == pytest.approx([2 * 2 / 6, 1, 0])
    assert [lesion.found for lesion in found.lesions] == [True, True, False]
    assert [lesion.touches_border for lesion in found.lesions] == [True, False, False]
    assert [lesion.ml for lesion in found.lesions] == pytest.approx([0.2, 0.15, 0.05])  # pixels count as 1 mm thick
    assert found.lesions[0].centre == pytest.approx((0, 1.5))
    assert found.lesions[2].centre == pytest.approx((5, 3))
    assert (found.n_predicted, found.n_found) == (3, 2)
    assert found.false_positives_ml == pytest.approx((0.3,))


def test_corners_join_in_a_volume():
    truth = np.zeros((5, 7, 11), bool)
    truth[1, 2, 3], truth[2, 3, 4], truth[4, 3, 4] = True, True, True
    assert len(score_lesions(truth, truth, (1, 1, 1)).lesions) == 2


def test_the_overlap_asked_for():
    truth, prediction = np.zeros(20, bool), np.zeros(20, bool)
    truth[5:10], prediction[9:15] = True, True  # 1 in common, 10 in all
    for overlap, n_found, alarms in ((0, 1, 0), (0.1, 1, 0), (0.11, 0, 1)):
        found = score_lesions(prediction, truth, (1,), overlap=overlap)
        assert (found.n_found, len(found.false_positives_ml)) == (n_found, alarms)
    # 7 of 100 voxels in common: 0.07 * 100 is more than 7 in floating point
    truth, prediction = np.zeros(200, bool), np.zeros(200, bool)
    truth[:50], prediction[43:100] = True, True
    assert score_lesions(prediction, truth, (1,), overlap=0.07).n_found == 1


def test_one_blob_finds_one_lesion_and_crumbs_are_no_false_alarms():
    truth, blob = np.zeros((3, 12), bool), np.zeros((3, 12), bool)
    truth[1, 1:4], truth[1, 6:10], blob[1, 1:10] = True, True, True
    found = score_lesions(blob, truth, (1, 1))
    assert [lesion.found for lesion in found.lesions] == [False, True]  # the pair with the larger Dice
    assert found.false_positives_ml == ()
    crumbs = np.zeros((3, 12), bool)
    crumbs[1, [6, 9]] = True  # overlaps of 1 in 4, below what is asked
    found = score_lesions(crumbs, truth, (1, 1), overlap=0.5)
    assert (found.n_found, found.n_predicted, found.false_positives_ml) == (0, 2, ())


def test_empty_masks():
    nothing, mask = np.zeros((5, 7), bool), np.zeros((5, 7), bool)
    mask[2, 3] = True
    assert score_lesions(nothing, nothing, (1, 1)) == LesionScores((), 0, ())
    assert len(score_lesions(mask, nothing, (1, 1)).false_positives_ml) == 1
    missed = score_lesions(nothing, mask, (1, 1))
    assert (len(missed.lesions), missed.n_found, missed.n_predicted) == (1, 0, 0)


def test_errors_in_full():
    mask = np.ones((2, 3), bool)
    wrong = {
        "score_lesions: overlap must lie in 0..1, got 1.5.": lambda: score_lesions(mask, mask, (1, 1), overlap=1.5),
        "score_lesions: prediction and truth must have one shape, got (2, 3) and (3, 2).": lambda: score_lesions(
            mask, mask.T, (1, 1)
        ),
    }
    for message, call in wrong.items():
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
