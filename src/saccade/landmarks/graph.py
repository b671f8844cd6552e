"""Which landmarks are neighbours: those that tell each other's place best, as many as exact inference can bear."""

from itertools import combinations

import numpy as np
from jaxtyping import Float

from saccade.landmarks.inference import width_of
from saccade.landmarks.potentials import PairStatistics, fit_pair

FEWEST = 5  # cases with both landmarks below which their statistics are not trusted
MOST_EDGES = 3  # of each landmark, in the mean
Edge = tuple[int, int]


def choose_graph(
    positions: Float[np.ndarray, "m n d"], *, width: int = 3, least_std: float = 1.0
) -> dict[Edge, PairStatistics]:
    """Edges between landmarks and their statistics.

    First a tree that reaches as many landmarks as can be (of all trees the one with the least sum of log det S, where S
    is the covariance of the offset), then further edges, the stiffest first, as long as the graph's width allows. Of
    ribs these are the neighbours above and below, those at one remove, and those of equal rank on the other side.

    Args:
        positions: Of m cases, NaN where a landmark is missing.
        width: Most neighbours of an eliminated landmark; the largest table has labels^(width + 1) entries.
        least_std: As `fit_pair` takes it.
    """
    count = positions.shape[1]
    known = np.isfinite(positions).all(-1)
    statistics: dict[Edge, PairStatistics] = {}
    for i, j in combinations(range(count), 2):
        both = known[:, i] & known[:, j]
        if both.sum() >= FEWEST:
            statistics[i, j] = fit_pair(positions[both, i], positions[both, j], least_std=least_std)
    order = sorted(statistics, key=lambda edge: (statistics[edge].looseness, edge))
    chosen: list[Edge] = []
    parts = list(range(count))
    for i, j in order:
        if parts[i] != parts[j]:
            chosen.append((i, j))
            parts = [parts[i] if part == parts[j] else part for part in parts]
    for edge in order:
        if len(chosen) >= MOST_EDGES * count:
            break
        if edge not in chosen and width_of([*chosen, edge]) <= width:
            chosen.append(edge)
    return {edge: statistics[edge] for edge in sorted(chosen)}
