import re

import numpy as np
import pytest
from scipy import stats

from saccade.errors import InputError
from saccade.study.statistics import bootstrap_interval, compare_paired


def scores(values):
    return {f"case{n}": float(v) for n, v in enumerate(values)}


def test_a_constant_gain_is_found_with_its_size():
    b = np.linspace(0.5, 0.9, 11)
    found = compare_paired(scores(b + 0.02), scores(b))
    assert found.difference == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02)
    assert found.high == pytest.approx(0.02)
    assert found.p < 0.01
    assert found.verdict == "higher: the interval excludes zero"


def test_swapping_the_two_turns_the_sign_and_nothing_else():
    generator = np.random.default_rng(1)
    a, b = scores(generator.random(13)), scores(generator.random(13))
    one, two = compare_paired(a, b), compare_paired(b, a)
    assert one.difference == pytest.approx(-two.difference)
    assert one.low == pytest.approx(-two.high)
    assert one.p == pytest.approx(two.p)


def test_no_difference_is_called_not_shown():
    a = scores([0.1, 0.2, 0.3, 0.4, 0.5])
    found = compare_paired(a, a)
    assert (found.difference, found.p) == (0, 1)
    assert found.verdict.startswith("difference not shown")


def test_p_is_scipys_wilcoxon():
    generator = np.random.default_rng(2)
    x, y = generator.random(17), generator.random(17)
    assert compare_paired(scores(x), scores(y)).p == pytest.approx(stats.wilcoxon(x - y).pvalue)


def test_bootstrap_interval_is_near_the_normal_one_for_many_cases():
    values = np.random.default_rng(3).normal(2, 1, 2000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 2000**0.5
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_other_cases_and_too_few_cases_are_refused():
    a = scores([0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(InputError, match=re.escape("both must score the same cases, differ in ['x'].")):
        compare_paired({**a, "x": 1.0}, a)
    with pytest.raises(InputError, match=re.escape("must have at least 5 cases, got 2.")):
        compare_paired(scores([1, 2]), scores([1, 3]))
