"""The best joint choice of labels, exactly: min-sum variable elimination on the true graph (Viterbi on a chain)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod

import numpy as np
from jaxtyping import Float

from saccade.errors import RunError

MOST_ENTRIES = 20_000_000  # of a table in between: 160 MB
Scope = tuple[int, ...]
Factor = tuple[Scope, np.ndarray]


def minimise(states: Sequence[int], factors: Iterable[Factor]) -> tuple[list[int], float]:
    """Labels with the least sum of all factors, and that sum.

    Variables are eliminated one by one (bucket elimination, Dechter 1999, doi:10.1016/S0004-3702(99)00059-4), always
    the one whose table is smallest then. On a chain that is Viterbi's algorithm, on a tree max-product; on other graphs
    it is max-product on a junction tree. The result is exact, its cost exponential in the width of the graph alone.

    Args:
        states: Number of labels of each variable.
        factors: Of each the variables that it depends on and its energies, an axis for each of them in that order.

    Raises:
        RunError: If a table would have more than 20 million entries.

    >>> minimise([2, 3], [((0,), np.array([0.0, 1.0])), ((0, 1), np.array([[5.0, 4, 3], [0, 9, 9]]))])
    ([1, 0], 1.0)
    """
    left = [_sorted(scope, table) for scope, table in factors]
    total = 0.0
    choices: list[tuple[int, Scope, np.ndarray]] = []
    for best, cluster in _order(tuple(states), tuple(scope for scope, _ in left)):
        table = np.zeros([states[u] for u in cluster])
        rest = []
        for scope, part in left:
            if best in scope:
                table = table + part.reshape([states[u] if u in scope else 1 for u in cluster])
            else:
                rest.append((scope, part))
        axis = cluster.index(best)
        others = cluster[:axis] + cluster[axis + 1 :]
        choices.append((best, others, table.argmin(axis)))
        least = table.min(axis)
        left = [*rest, (others, least)] if others else rest
        total += 0.0 if others else float(least)
    labels = [0] * len(states)
    for variable, others, choice in reversed(choices):
        labels[variable] = int(choice[tuple(labels[u] for u in others)])
    return labels, total


def energy_of(labels: Sequence[int], factors: Iterable[Factor]) -> float:
    """The sum of all factors at these labels."""
    return float(sum(table[tuple(labels[v] for v in scope)] for scope, table in factors))


def width_of(edges: Iterable[tuple[int, int]]) -> int:
    """How many variables the largest table has beside the eliminated one, if it is always the one with the fewest
    neighbours (an upper bound of the treewidth).

    >>> width_of([(0, 1), (1, 2)]), width_of([(0, 1), (1, 2), (0, 2)])
    (1, 2)
    """
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    width = 0
    while neighbours:
        best = min(neighbours, key=lambda v: (len(neighbours[v]), v))
        around = neighbours.pop(best)
        width = max(width, len(around))
        for v in around:
            neighbours[v] = (neighbours[v] | around) - {best, v}
    return width


def _sorted(scope: Scope, table: Float[np.ndarray, "..."]) -> Factor:
    order = sorted(range(len(scope)), key=lambda axis: scope[axis])
    return tuple(scope[axis] for axis in order), np.asarray(table, float).transpose(order)


@lru_cache(maxsize=256)
def _order(states: tuple[int, ...], scopes: tuple[Scope, ...]) -> list[tuple[int, Scope]]:
    """In which order variables are eliminated, each with those that its table depends on, itself among them."""
    left, waiting, found = set(scopes), set(range(len(states))), []
    while waiting:
        clusters = {v: {v}.union(*(scope for scope in left if v in scope)) for v in waiting}
        best = min(waiting, key=lambda v: (prod(states[u] for u in clusters[v]), v))
        cluster = tuple(sorted(clusters[best]))
        if (entries := prod(states[u] for u in cluster)) > MOST_ENTRIES:
            raise RunError(
                f"minimise: a table of {entries:,} entries would be needed, at most {MOST_ENTRIES:,} are allowed. "
                "Use fewer hypotheses or a narrower graph."
            )
        left = {scope for scope in left if best not in scope} | {tuple(v for v in cluster if v != best)}
        waiting.remove(best)
        found.append((best, cluster))
    return found
