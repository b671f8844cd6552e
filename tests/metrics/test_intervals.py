"""Bootstrap intervals: worked by hand, coverage, weights, and the law that no end improves when a case gets worse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.metrics import METRICS, aggregate, bootstrap_interval, confidence_intervals
from saccade.metrics.scores import HIGHER_IS_BETTER

NAN = float("nan")
FOUND = st.fixed_dictionaries(
    {metric: st.floats(0, 1) if metric in HIGHER_IS_BETTER else st.floats(0, 50) for metric in METRICS}
)
# What score_labels gives for a volume with a diagonal of 60 mm, in which the largest volume error is 70 ml.
MISSED = {metric: 0.0 if metric in HIGHER_IS_BETTER else 60.0 for metric in METRICS} | {"precision": NAN}
MISSED["volume_error_ml"] = 70.0


def test_worked_by_hand():
    # The mean of five draws from these is binomial, n = 5, p = 0.2: P(X <= 2) = 0.942, P(X <= 3) = 0.993
    assert bootstrap_interval([0, 0, 0, 0, 1]) == (0, pytest.approx(0.6))
    # between 20 % and 80 %: P(X = 0) = 0.328, P(X <= 1) = 0.737, P(X <= 2) = 0.942
    assert bootstrap_interval([0, 0, 0, 0, 1], level=0.6) == (0, pytest.approx(0.4))


def test_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    ends = [bootstrap_interval(generator.normal(3, 2, 40)) for _ in range(300)]
    covered = np.mean([low <= 3 <= high for low, high in ends])
    assert 0.90 <= covered <= 0.98


def test_weights():
    values, weights = [2, 0, 1, 3, 0, 1], [4, 1, 1, 3, 2, 2]
    assert bootstrap_interval(values) == pytest.approx(bootstrap_interval(values, [1] * 6))
    low, high = bootstrap_interval(values, weights)
    assert 0 < low < sum(values) / sum(weights) < high < 1
    # only one case has lesions: a draw without it has nothing to say
    assert bootstrap_interval([1, 0, 0, 0, 0], [2, 0, 0, 0, 0]) == (0.5, 0.5)
    assert all(map(math.isnan, bootstrap_interval([0, 0], [0, 0])))


def test_the_seed_decides():
    values = np.random.default_rng(1).random(17)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)


def test_of_every_mean_and_only_with_five_cases():
    cases = {f"{n}": {"liver": dict.fromkeys(METRICS, n / 10), "cyst": dict(MISSED)} for n in range(6)}
    for n in range(2):
        cases[str(n)]["cyst"] = dict.fromkeys(METRICS, NAN)
    found = confidence_intervals(cases, seed=3)
    assert list(found) == ["liver", "cyst"]
    for metric in METRICS:
        low, high = bootstrap_interval([n / 10 for n in range(6)], seed=3)
        assert found["liver"][metric] == {"low": pytest.approx(low), "high": pytest.approx(high)}
        assert math.isnan(found["cyst"][metric]["low"])  # scored in four


@settings(max_examples=100, deadline=None)
@given(st.lists(FOUND | st.just(MISSED), min_size=5, max_size=9), st.data())
def test_no_end_improves_when_a_case_gets_worse(scores, data):
    index = data.draw(st.integers(0, len(scores) - 1))
    before = {str(n): {"organ": values} for n, values in enumerate(scores)}
    worse = {
        metric: data.draw(st.floats(0, value) if metric in HIGHER_IS_BETTER else st.floats(value, 50))
        for metric, value in scores[index].items()
        if scores[index] is not MISSED
    }
    after = {**before, str(index): {"organ": data.draw(st.sampled_from([worse or MISSED, MISSED]))}}
    ends, worse_ends = confidence_intervals(before)["organ"], confidence_intervals(after)["organ"]
    for metric in METRICS:
        for end in ("low", "high"):
            change = worse_ends[metric][end] - ends[metric][end]
            assert (change if metric in HIGHER_IS_BETTER else -change) <= 1e-9
        mean = aggregate(after)["organ"][metric]["mean"]
        assert worse_ends[metric]["low"] - 1e-9 <= mean <= worse_ends[metric]["high"] + 1e-9
