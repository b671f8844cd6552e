"""Two sets of predictions: differences, failures, Holm's correction, verdicts, and that no side gains by failing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from saccade.errors import InputError
from saccade.metrics import METRICS
from saccade.metrics.scores import HIGHER_IS_BETTER
from saccade.study.comparison import compare_results
from saccade.study.statistics import bootstrap_interval, holm

NAN = float("nan")
DIAGONAL, VOLUME = 60.0, 70.0
BEST = {metric: 1.0 if metric in HIGHER_IS_BETTER else 0.0 for metric in METRICS}
WORST = {**{metric: 0.0 if metric in HIGHER_IS_BETTER else DIAGONAL for metric in METRICS}, "volume_error_ml": VOLUME}
MISSED, SPURIOUS = {**WORST, "precision": NAN}, {**WORST, "recall": NAN}
NOTHING = dict.fromkeys(METRICS, NAN)


def scores(value: float) -> dict[str, float]:
    """Metrics that get better as the value rises from 0 to 1."""
    return {metric: value if metric in HIGHER_IS_BETTER else 30 * (1 - value) for metric in METRICS}


def result(**organs: list[dict[str, float]]) -> dict:
    """A result with case 0, 1, ... from each organ's scores."""
    cases = {
        str(n): dict(zip(organs, found, strict=True)) for n, found in enumerate(zip(*organs.values(), strict=True))
    }
    return {"cases": cases, "extents": {case: {"diagonal_mm": DIAGONAL, "volume_ml": VOLUME} for case in cases}}


def test_a_gain_in_one_organ_is_found_with_its_size():
    generator = np.random.default_rng(0)
    liver, spleen = generator.uniform(0.5, 0.8, 14), generator.uniform(0.5, 0.8, 14)
    noise = generator.normal(0, 0.05, 14)
    here = result(liver=[scores(v + 0.1) for v in liver], spleen=[scores(v) for v in spleen + noise])
    there = result(liver=[scores(v) for v in liver], spleen=[scores(v) for v in spleen])
    found = compare_results(here, there, seed=2)
    assert found["cases"] == 14
    dice = found["organs"]["liver"]["dice"]
    assert dice["difference"] == pytest.approx(0.1)
    assert dice["mean"] - dice["mean_other"] == pytest.approx(0.1)
    assert found["organs"]["liver"]["hd95_mm"]["difference"] == pytest.approx(-3)
    assert {organ["verdict"] for organ in found["organs"]["liver"].values()} == {"better"}
    turned = compare_results(there, here, seed=2)
    assert {organ["verdict"] for organ in turned["organs"]["liver"].values()} == {"worse"}
    other = found["organs"]["spleen"]["dice"]
    by_id = noise[sorted(range(14), key=str)]
    assert (other["low"], other["high"]) == pytest.approx(bootstrap_interval(by_id, seed=2))
    assert other["p"] == pytest.approx(stats.wilcoxon(noise).pvalue)
    assert other["verdict"] == "difference not shown: the interval includes zero"
    assert dice["p_holm"] == pytest.approx(2 * dice["p"])
    mean = found["mean_over_organs"]["dice"]
    assert (mean["n"], mean["difference"]) == (14, pytest.approx((0.1 + noise.mean()) / 2))
    assert mean["p_holm"] == mean["p"]
    assert mean["verdict"] == "better"


def test_interval_and_corrected_p_must_agree():
    rising = [scores(0.5 + 0.01 * n) for n in range(6)]
    higher = [scores(0.6 + 0.01 * n) for n in range(6)]
    one = compare_results(result(a=higher), result(a=rising))["organs"]["a"]["dice"]
    assert (one["p"], one["verdict"]) == (pytest.approx(2 / 2**6), "better")  # all six ranks on one side
    two = compare_results(result(a=higher, b=rising), result(a=rising, b=rising))["organs"]["a"]["dice"]
    assert two["p_holm"] == pytest.approx(4 / 2**6)
    assert two["verdict"] == "difference not shown: p is not below 0.05"


def test_failures_and_what_is_rightly_empty():
    here = result(cyst=[MISSED, SPURIOUS, NOTHING, NOTHING, scores(0.5), SPURIOUS])
    there = result(cyst=[scores(0.9), NOTHING, NOTHING, SPURIOUS, MISSED, SPURIOUS])
    dice, hd95, volume = (
        compare_results(here, there)["organs"]["cyst"][metric] for metric in ("dice", "hd95_mm", "volume_error_ml")
    )
    assert dice["n"] == hd95["n"] == 5  # where neither has anything to score there is no pair
    assert dice["mean"] == pytest.approx((0 + 0 + 1 + 0.5 + 0) / 5)
    assert dice["mean_other"] == pytest.approx((0.9 + 1 + 0 + 0 + 0) / 5)
    assert hd95["mean"] == pytest.approx((60 + 60 + 0 + 15 + 60) / 5)
    assert volume["mean_other"] == pytest.approx((3 + 0 + 70 + 70 + 70) / 5)


def test_only_shared_cases_and_what_is_left_out():
    here, there = result(a=[scores(0.5)] * 6), result(a=[scores(0.6)] * 6)
    del here["cases"]["0"]
    del there["cases"]["5"]
    found = compare_results(here, there)
    assert (found["cases"], found["left_out"]) == (4, {"only_here": ["5"], "only_there": ["0"]})
    dice = found["organs"]["a"]["dice"]
    assert (dice["n"], dice["difference"]) == (4, pytest.approx(-0.1))
    assert all(math.isnan(dice[name]) for name in ("low", "high", "p", "p_holm"))
    assert dice["verdict"] == "not tested: at least 5 cases are needed"
    for case in list(there["cases"]):
        here["cases"].pop(case, None)
    with pytest.raises(InputError) as error:
        compare_results(here, there)
    assert str(error.value) == "against: both must score the same cases, got 5 and 0, 1, 2, 3, 4."


def test_an_organ_that_only_one_side_draws():
    here, there = result(a=[scores(0.5)] * 5, ghost=[SPURIOUS] * 5), result(a=[scores(0.5)] * 5)
    found = compare_results(here, there)["organs"]["ghost"]["dice"]
    assert (found["mean"], found["mean_other"]) == (0, 1)


SIDE = st.floats(0, 1).map(scores) | st.just(MISSED)
PAIRS = st.tuples(SIDE, SIDE) | st.tuples(st.sampled_from([NOTHING, SPURIOUS]), st.sampled_from([NOTHING, SPURIOUS]))


@settings(max_examples=40, deadline=None)
@given(st.lists(PAIRS, min_size=2, max_size=4), st.data())
def test_no_side_gains_by_getting_worse(pairs, data):
    index = data.draw(st.integers(0, len(pairs) - 1))
    before = pairs[index][0]
    if math.isnan(before["recall"]):  # the truth has no such organ
        worse = SPURIOUS
    elif before is MISSED:
        worse = MISSED
    else:
        worse = data.draw(st.sampled_from([MISSED, scores(before["dice"] * data.draw(st.floats(0, 1)))]))
    after = [(worse, b) if n == index else (a, b) for n, (a, b) in enumerate(pairs)]
    old, new = (
        compare_results(result(organ=[a for a, _ in study]), result(organ=[b for _, b in study]))
        for study in (pairs, after)
    )
    for metric in METRICS:
        for a, b in (
            (old["organs"]["organ"][metric], new["organs"]["organ"][metric]),
            (old["mean_over_organs"][metric], new["mean_over_organs"][metric]),
        ):
            change = b["difference"] - a["difference"]
            assert math.isnan(a["difference"]) or (change if metric in HIGHER_IS_BETTER else -change) <= 1e-9


def test_holm_by_hand():
    # 0.005 * 4; 0.01 * 3; 0.03 * 2; 0.04 is not below the one before
    corrected = holm({"d": 0.04, "a": 0.01, "c": 0.03, "b": 0.005})
    assert corrected == pytest.approx({"b": 0.02, "a": 0.03, "c": 0.06, "d": 0.06})
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1, "b": 1}
    assert holm({}) == {}
