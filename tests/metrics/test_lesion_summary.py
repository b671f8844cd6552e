"""Lesions over cases: worked by hand, the law, size classes, FROC."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.errors import InputError
from saccade.metrics import Lesion, LesionScores, count_at_thresholds, froc, summarise_lesions

SCORES = ("sensitivity", "component_dice", "precision")


def case(*dice: float, ml: tuple[float, ...] = (), alarms: int = 0) -> LesionScores:
    """A case with a lesion per Dice and some false alarms."""
    lesions = zip(dice, ml or [1.0] * len(dice), strict=True)
    return LesionScores(
        tuple(Lesion(size, (0.0, 0.0, 0.0), False, value) for value, size in lesions),
        sum(value > 0 for value in dice) + alarms,
        (0.5,) * alarms,
    )


def test_worked_by_hand():
    cases = {"a": case(0.8, 0.0, alarms=1), "b": case(0.6), "c": case(), "d": case(alarms=2), "e": case(0.0)}
    found = summarise_lesions(cases)
    assert (found["n_cases"], found["n_lesions"], found["n_found"]) == (5, 4, 2)
    assert (found["n_predicted"], found["n_false_positives"]) == (5, 3)
    assert found["sensitivity"] == pytest.approx(2 / 4)
    assert found["component_dice"] == pytest.approx(1.4 / 4)
    assert found["precision"] == pytest.approx(2 / 5)
    assert found["false_positives_per_case"] == pytest.approx(3 / 5)
    for score, ends in found["intervals"].items():
        assert ends["low"] <= found[score] <= ends["high"]
    assert math.isnan(summarise_lesions({"a": case(0.8)})["intervals"]["sensitivity"]["low"])  # too few cases


def test_nothing_predicted_and_nothing_there():
    missed = summarise_lesions({str(n): case(0.0) for n in range(5)})
    assert (missed["sensitivity"], missed["precision"], missed["component_dice"]) == (0, 0, 0)
    assert missed["intervals"]["precision"] == {"low": 0, "high": 0}
    clean = summarise_lesions({str(n): case() for n in range(5)})
    assert clean["false_positives_per_case"] == 0
    assert all(math.isnan(clean[score]) for score in SCORES)
    assert summarise_lesions({"a": case(alarms=1)})["precision"] == 0


DICE_AND_ALARMS = st.tuples(st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), max_size=4), st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(DICE_AND_ALARMS, min_size=5, max_size=8), st.data())
def test_no_score_improves_when_a_case_gets_worse(cases, data):
    index = data.draw(st.integers(0, len(cases) - 1))
    dice, alarms = cases[index]
    worse = [*cases]
    worse[index] = (
        [data.draw(st.sampled_from([v for v in (0.0, 0.2, value) if v <= value])) for value in dice],
        alarms + data.draw(st.integers(0, 2)),
    )
    a, b = (
        summarise_lesions({str(n): case(*dice, alarms=alarms) for n, (dice, alarms) in enumerate(study)})
        for study in (cases, worse)
    )
    for score in SCORES:
        assert math.isnan(a[score]) or b[score] <= a[score] + 1e-9
        for end in ("low", "high"):
            assert not b["intervals"][score][end] > a["intervals"][score][end] + 1e-9
    alarms = "false_positives_per_case"
    assert b[alarms] >= a[alarms]
    for end in ("low", "high"):
        assert b["intervals"][alarms][end] >= a["intervals"][alarms][end] - 1e-9


def test_classes_of_size():
    volumes = (0.05, 0.1, 0.4, 1.0, 2.0, 30.0)
    study = {"a": case(0.0, 0.5, 0.0, ml=volumes[:3]), "b": case(0.9, 0.8, 0.7, ml=volumes[3:])}
    classes = summarise_lesions(study, edges_ml=(0.1, 1))["sizes"]
    assert [(c["from_ml"], c["below_ml"]) for c in classes] == [(0, 0.1), (0.1, 1), (1, None)]
    assert [(c["n"], c["n_found"]) for c in classes] == [(1, 0), (2, 1), (3, 3)]
    assert [c["sensitivity"] for c in classes] == [0, 0.5, 1]
    assert classes[2]["component_dice"] == pytest.approx(0.8)
    quartiles = summarise_lesions(study)["sizes"]
    assert [c["from_ml"] for c in quartiles] == pytest.approx([0, *np.quantile(volumes, (0.25, 0.5, 0.75))])
    assert sum(c["n"] for c in quartiles) == 6
    assert [c["n"] for c in summarise_lesions({"a": case(0.1, 0.2, 0.3)})["sizes"]] == [3]  # all of one size
    assert summarise_lesions({"a": case()})["sizes"][0]["n"] == 0
    with pytest.raises(InputError) as error:
        summarise_lesions(study, edges_ml=(1, 0.1))
    assert str(error.value) == (
        "summarise_lesions: edges of size classes must be above 0 ml and ascending, got 1, 0.1."
    )


def test_froc_by_hand():
    truth = np.zeros((3, 20), bool)
    truth[1, 1:4], truth[1, 8:11] = True, True
    sure, unsure = np.zeros((3, 20)), np.zeros((3, 20))
    sure[1, 1:4], sure[1, 8:11], sure[1, 14] = 0.9, 0.3, 0.6
    unsure[1, 1:4], unsure[1, 16] = 0.5, 0.55
    counts = {
        name: count_at_thresholds(map_, truth, (1, 1), thresholds=(0.2, 0.5, 0.58, 0.8))
        for name, map_ in (("a", sure), ("b", unsure))
    }
    assert counts == {"a": [(2, 1), (1, 1), (1, 1), (1, 0)], "b": [(1, 1), (1, 1), (0, 0), (0, 0)]}
    found = froc(counts, 4, thresholds=(0.2, 0.5, 0.58, 0.8))
    assert [p["sensitivity"] for p in found["points"]] == [0.75, 0.5, 0.25, 0.25]
    assert [p["false_positives_per_case"] for p in found["points"]] == [1, 1, 0.5, 0]
    at = found["sensitivity_at"]
    assert at == {"0.125": 0.25, "0.25": 0.25, "0.5": 0.25, "1": 0.75, "2": 0.75, "4": 0.75, "8": 0.75}
    assert found["mean_sensitivity"] == pytest.approx((3 * 0.25 + 4 * 0.75) / 7)
    assert math.isnan(froc({"a": [(0, 1)] * 19}, 0)["mean_sensitivity"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=4, max_size=4), min_size=1), st.data()
)
def test_froc_does_not_improve_with_fewer_found_or_more_alarms(study, data):
    index, cut = data.draw(st.integers(0, len(study) - 1)), data.draw(st.integers(0, 3))
    worse = [[*counts] for counts in study]
    found, alarms = worse[index][cut]
    worse[index][cut] = (data.draw(st.integers(0, found)), alarms + data.draw(st.integers(0, 3)))
    before, after = (
        froc({str(n): counts for n, counts in enumerate(s)}, 3 * len(s), thresholds=(0.2, 0.4, 0.6, 0.8))
        for s in (study, worse)
    )
    for rate, sensitivity in after["sensitivity_at"].items():
        assert sensitivity <= before["sensitivity_at"][rate]


def test_probabilities_must_be_some():
    with pytest.raises(InputError) as error:
        count_at_thresholds(np.full((2, 3), 1.5), np.ones((2, 3), bool), (1, 1))
    assert str(error.value) == "count_at_thresholds: probabilities must lie in 0..1, got 1.5..1.5."
