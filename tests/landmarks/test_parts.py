"""Hypotheses, potentials and the graph."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, vonmises

from saccade.errors import InputError
from saccade.landmarks.graph import choose_graph
from saccade.landmarks.hypotheses import find_hypotheses
from saccade.landmarks.inference import width_of
from saccade.landmarks.potentials import PairStatistics, fit_pair, pair_energies


def test_hypotheses_are_the_highest_maxima_that_are_apart() -> None:
    heat = np.zeros((17, 23))
    for place, value in {(3, 4): 0.5, (3, 7): 0.9, (12, 20): 0.7, (16, 0): 0.2}.items():
        heat[place] = value
    assert find_hypotheses(heat, count=9, radius=3.0).indices.tolist() == [[3, 7], [12, 20], [16, 0]]
    near = find_hypotheses(heat, count=2, radius=2.9)
    assert near.indices.tolist() == [[3, 7], [12, 20]]
    assert near.heat.tolist() == [0.9, 0.7]
    assert find_hypotheses(heat, count=9, radius=2.9).indices.tolist()[2] == [3, 4]


def test_hypotheses_of_a_volume_and_of_a_flat_map() -> None:
    heat = np.random.default_rng(0).random((5, 7, 11))
    first = find_hypotheses(heat, count=1, radius=2.0)
    assert first.indices[0].tolist() == list(np.unravel_index(heat.argmax(), heat.shape))
    assert len(find_hypotheses(np.full((4, 4), 0.3)).heat) == 1


@pytest.mark.parametrize(
    ("heat", "options", "message"),
    [
        (np.ones(4), {"count": 0}, "find_hypotheses: count must be 1 or more and radius 0 or more, got 0 and 10."),
        (np.ones((0, 4)), {}, "find_hypotheses: the heat map must hold finite numbers, got shape (0, 4)."),
        (np.full(3, np.nan), {}, "find_hypotheses: the heat map must hold finite numbers, got shape (3,)."),
    ],
)
def test_hypotheses_of_nothing(heat, options, message) -> None:
    with pytest.raises(InputError) as error:
        find_hypotheses(heat, **options)
    assert str(error.value) == message


def test_potentials_are_log_densities_up_to_a_constant() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(0, 30, (40, 2))
    second = first + np.array([20.0, 5.0]) + rng.normal(0, 2, (40, 2))
    statistics = fit_pair(first, second, least_std=0.0)
    offsets = second - first
    places = rng.normal([20.0, 5.0], 3, (50, 2))
    found = pair_energies(statistics, ("translation", "distance", "angle"), np.zeros(2), places)
    gauss = multivariate_normal(offsets.mean(0), np.cov(offsets.T))
    assert found[0] == pytest.approx(gauss.logpdf(offsets.mean(0)) - gauss.logpdf(places))
    lengths = np.linalg.norm(offsets, axis=1)
    away = (np.linalg.norm(places, axis=1) - lengths.mean()) / lengths.std(ddof=1)
    assert found[1] == pytest.approx(0.5 * away**2)
    angles = np.arctan2(places[:, 1], places[:, 0])
    mean = np.arctan2(*statistics.direction[::-1])
    circle = vonmises(statistics.concentration, loc=mean)
    assert found[2] == pytest.approx(circle.logpdf(mean) - circle.logpdf(angles))


def test_the_concentration_is_that_of_the_angles() -> None:
    rng = np.random.default_rng(2)
    angles = vonmises.rvs(25.0, loc=0.7, size=4000, random_state=rng)
    second = 50 * np.stack([np.cos(angles), np.sin(angles)], 1)
    assert fit_pair(np.zeros_like(second), second, least_std=0.1).concentration == pytest.approx(25, rel=0.1)


def test_no_spread_is_smaller_than_that_of_annotation() -> None:
    same = np.tile([[3.0, 4.0, 0.0]], (5, 1))
    statistics = fit_pair(np.zeros_like(same), same, least_std=2.0)
    assert np.allclose(statistics.covariance, 4 * np.eye(3))
    assert (statistics.distance, statistics.distance_std) == (5.0, 2.0)
    assert statistics.concentration == pytest.approx((5 / 2) ** 2)
    assert PairStatistics.from_dict(statistics.as_dict()).as_dict() == statistics.as_dict()


def test_two_cases_are_needed() -> None:
    with pytest.raises(InputError, match=r"fit_pair: must have 2 cases or more with both landmarks, got \(1, 2\)"):
        fit_pair(np.zeros((1, 2)), np.zeros((1, 2)))


def test_the_graph_joins_what_is_stiff_and_is_no_wider_than_allowed() -> None:
    rng = np.random.default_rng(3)
    steps = rng.normal([0, 40], 2, (60, 7, 2))
    positions = rng.normal(0, 30, (60, 1, 2)) + steps.cumsum(1)  # a chain: neighbours differ by one step's spread
    narrow = choose_graph(positions, width=1)
    assert list(narrow) == [(i, i + 1) for i in range(6)]
    wide = choose_graph(positions, width=2)
    assert width_of(wide) == 2
    assert set(narrow) < set(wide)


def test_landmarks_that_are_hardly_ever_together_are_no_neighbours() -> None:
    positions = np.random.default_rng(4).normal(size=(12, 3, 2))
    positions[:8, 0] = np.nan  # 4 cases are left that have the first
    assert list(choose_graph(positions)) == [(1, 2)]
