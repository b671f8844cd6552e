"""Exact inference: equal to trying everything, whatever the graph."""

from itertools import product

import numpy as np
import pytest

from saccade.errors import RunError
from saccade.landmarks.inference import energy_of, minimise, width_of

GRAPHS = {
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
    "tree": [(0, 1), (0, 2), (2, 3), (2, 4)],
    "loop": [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)],
    "complete": [(i, j) for i in range(5) for j in range(i)],
    "in two parts": [(0, 4), (3, 1)],
}


def brute_force(states, factors) -> float:
    return min(energy_of(labels, factors) for labels in product(*map(range, states)))


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_trying_everything_finds(graph, seed) -> None:
    rng = np.random.default_rng(seed)
    states = [4, 4, 4, 4, 4] if seed else [2, 5, 3, 4, 1]
    factors = [((i,), rng.normal(size=n)) for i, n in enumerate(states)]
    factors += [((i, j), rng.normal(size=(states[i], states[j]))) for i, j in graph]
    labels, energy = minimise(states, factors)
    assert energy == pytest.approx(brute_force(states, factors))
    assert energy_of(labels, factors) == pytest.approx(energy)


def test_on_a_chain_it_is_viterbi() -> None:
    rng = np.random.default_rng(5)
    unary, edges = rng.normal(size=(9, 4)), rng.normal(size=(8, 4, 4))
    cost = unary[0]
    for i in range(1, 9):  # the usual recursion, written out
        cost = (cost[:, None] + edges[i - 1]).min(0) + unary[i]
    factors = [((i,), row) for i, row in enumerate(unary)] + [((i, i + 1), table) for i, table in enumerate(edges)]
    assert minimise([4] * 9, factors)[1] == pytest.approx(cost.min())


def test_width() -> None:
    assert {name: width_of(graph) for name, graph in GRAPHS.items()} == {
        "chain": 1, "tree": 1, "loop": 2, "complete": 4, "in two parts": 1,
    }  # fmt: skip


def test_a_graph_that_is_too_wide_is_refused() -> None:
    states = [100] * 5
    factors = [((i, j), np.zeros((100, 100))) for i in range(5) for j in range(i)]
    with pytest.raises(RunError) as error:
        minimise(states, factors)
    assert str(error.value) == (
        "minimise: a table of 10,000,000,000 entries would be needed, at most 20,000,000 are allowed. "
        "Use fewer hypotheses or a narrower graph."
    )
