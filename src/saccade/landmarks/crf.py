"""A conditional random field over landmarks: which hypothesis of each is right, or that none is.

    E(x) = sum_i a_i U_i(x_i) + sum_(i,j) sum_p w_ijp P_ijp(x_i, x_j),   U_i(x) = -log max(heat_i(x), floor)

Beside its hypotheses a landmark has the label *refine*, "the right place is not among them", which costs b_i, and c_ij
with each neighbour; and, where wanted, the label *missing*, with energies of the same kind. Landmarks labelled refine
get their place in a second inference over all pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from saccade.landmarks.hypotheses import Hypotheses
from saccade.landmarks.inference import Factor, minimise
from saccade.landmarks.potentials import PairStatistics, pair_energies

REFINE, MISSING = -1, -2  # labels; those from 0 on are numbers of hypotheses
ROUNDS = 20  # of the second inference; it ends as soon as nothing changes any more
Measure = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n d"]]


@dataclass(frozen=True)
class Weights:
    """What is learned, energies all of them.

    Attributes:
        unary: a_i, factor on the heat map's energy.
        pair: w_ijp, factor on each potential of each edge.
        refine: b_i.
        refine_pair: c_ij, for an edge one end of which is labelled refine.
        missing: As b_i.
        missing_pair: As c_ij.
    """

    unary: Float[np.ndarray, "n"]
    pair: Float[np.ndarray, "e p"]
    refine: Float[np.ndarray, "n"]
    refine_pair: Float[np.ndarray, "e"]
    missing: Float[np.ndarray, "n"]
    missing_pair: Float[np.ndarray, "e"]

    @classmethod
    def equal(
        cls, nodes: int, edges: int, kinds: int, *, refine: float = 2.0, refine_pair: float = 0.5, missing: float = 3.0
    ) -> "Weights":
        """Where learning begins: the potentials of an edge together weigh as much as a heat map."""
        return cls(
            np.ones(nodes),
            np.full((edges, kinds), 1.0 / kinds),
            np.full(nodes, refine),
            np.full(edges, refine_pair),
            np.full(nodes, missing),
            np.full(edges, refine_pair),
        )


@dataclass(frozen=True)
class Candidates:
    """The hypotheses of one landmark of one image.

    Attributes:
        places: In the units of the statistics.
        heat: Of each.
    """

    places: Float[np.ndarray, "k d"]
    heat: Float[np.ndarray, "k"]

    @classmethod
    def of(cls, hypotheses: Hypotheses, measure: Measure) -> "Candidates":
        """Hypotheses in the units of the statistics; ``measure`` takes positions whose first pixel's middle is 0.5."""
        return cls(measure(hypotheses.indices + 0.5), hypotheses.heat)


@dataclass(frozen=True)
class Solution:
    """Labels of the landmarks of an image.

    Attributes:
        labels: Number of the hypothesis, `REFINE` or `MISSING`, of each landmark.
        energy: Of the first inference.
    """

    labels: tuple[int, ...]
    energy: float


@dataclass(frozen=True)
class LandmarkCRF:
    """The graph, its statistics and its weights.

    Attributes:
        names: Of the landmarks.
        kinds: Of the potentials on every edge.
        edges: Pairs of numbers of landmarks, the lower first.
        statistics: Of each edge.
        weights: Learned.
        floor: Heat is taken to be this at least: how much a landmark may at most cost by itself.
        refines: Whether there is the label refine.
        misses: Whether there is the label missing.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    statistics: tuple[PairStatistics, ...]
    weights: Weights
    floor: float = 1e-3
    refines: bool = True
    misses: bool = False
    _neighbours: dict[int, list[int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        around: dict[int, list[int]] = {node: [] for node in range(len(self.names))}
        for number, (i, j) in enumerate(self.edges):
            around[i].append(number)
            around[j].append(number)
        object.__setattr__(self, "_neighbours", around)

    @property
    def extra(self) -> tuple[int, ...]:
        """The labels that are no hypotheses."""
        return (REFINE,) * self.refines + (MISSING,) * self.misses

    def solve(
        self,
        candidates: Sequence[Candidates],
        rewards: Sequence[np.ndarray] | None = None,
        between: Sequence[np.ndarray] | None = None,
    ) -> Solution:
        """The labels with the least energy, exactly.

        Args:
            candidates: Of each landmark, one hypothesis at least.
            rewards: Of each landmark what its labels cost less (for learning), hypotheses first.
            between: As `between` gives them, if they are at hand.
        """
        factors = self.factors(candidates, self.between(candidates) if between is None else between)
        if rewards is not None:
            factors += [((i,), -reward) for i, reward in enumerate(rewards)]
        states = [len(one.heat) + len(self.extra) for one in candidates]
        chosen, energy = minimise(states, factors)
        return Solution(tuple(self.label(s, one) for s, one in zip(chosen, candidates, strict=True)), energy)

    def label(self, state: int, candidates: Candidates) -> int:
        """The label that a state stands for."""
        count = len(candidates.heat)
        return state if state < count else self.extra[state - count]

    def state(self, label: int, candidates: Candidates) -> int:
        """The reverse of `label`."""
        return label if label >= 0 else len(candidates.heat) + self.extra.index(label)

    def between(self, candidates: Sequence[Candidates]) -> list[Float[np.ndarray, "p _k _l"]]:
        """Unweighted potentials of all pairs of hypotheses, of each edge."""
        ends = [(candidates[i].places[:, None], candidates[j].places[None]) for i, j in self.edges]
        return [self.pair(e, first, second) for e, (first, second) in enumerate(ends)]

    def factors(
        self, candidates: Sequence[Candidates], between: Sequence[Float[np.ndarray, "p _k _l"]]
    ) -> list[Factor]:
        """Energies of all labels, of landmarks and of edges."""
        w = self.weights
        constants = {REFINE: (w.refine, w.refine_pair), MISSING: (w.missing, w.missing_pair)}
        found: list[Factor] = []
        for i, one in enumerate(candidates):
            own = w.unary[i] * self.unary(one.heat)
            found.append(((i,), np.append(own, [constants[label][0][i] for label in self.extra])))
        for e, (i, j) in enumerate(self.edges):
            a, b = candidates[i], candidates[j]
            table = np.zeros((len(a.heat) + len(self.extra), len(b.heat) + len(self.extra)))
            table[: len(a.heat), : len(b.heat)] = _weighted(w.pair[e], between[e])
            for number, label in enumerate(self.extra):  # missing comes last: an edge with both ends costs as missing
                table[len(a.heat) + number, :] = constants[label][1][e]
                table[:, len(b.heat) + number] = constants[label][1][e]
            found.append(((i, j), table))
        return found

    def unary(self, heat: Float[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
        """U of heat values."""
        found: np.ndarray = -np.log(np.clip(heat, self.floor, 1.0))
        return found

    def pair(
        self, edge: int, first: Float[np.ndarray, "*a d"], second: Float[np.ndarray, "*b d"]
    ) -> Float[np.ndarray, "p *ab"]:
        """Unweighted potentials of an edge."""
        return pair_energies(self.statistics[edge], self.kinds, first, second)

    def refine(
        self,
        solution: Solution,
        candidates: Sequence[Candidates],
        heat: Callable[[int], Float[np.ndarray, "pixels"]],
        grid: Float[np.ndarray, "pixels d"],
    ) -> dict[int, int]:
        """The second inference: for each landmark labelled refine the pixel with the least energy, given its
        neighbours.

        A landmark, together with its neighbours that have a place, is a sub-graph of its own; its minimum is found by
        looking at every pixel. Where landmarks labelled refine are neighbours they take turns: first those with the
        most neighbours in place, each new place counting for the next; then all again until none moves. Every turn is
        exact and none raises the energy of the whole.

        Args:
            solution: Of `solve`.
            candidates: As there.
            heat: Gives the heat map of a landmark, flattened.
            grid: Where each pixel is, in the units of the statistics.

        Returns:
            Landmark -> number of the pixel.
        """
        places = {i: candidates[i].places[label] for i, label in enumerate(solution.labels) if label >= 0}
        own = {
            i: self.weights.unary[i] * self.unary(heat(i)) for i, label in enumerate(solution.labels) if label == REFINE
        }
        known: dict[tuple[int, int, bytes], np.ndarray] = {}
        found: dict[int, int] = {}
        for _ in range(ROUNDS):
            before = dict(found)
            waiting = set(own)
            while waiting:
                node = max(waiting, key=lambda i: (len(self._placed(i, places)), -i))
                waiting.remove(node)
                found[node] = int((own[node] + self._around(node, places, grid, known)).argmin())
                places[node] = grid[found[node]]
            if found == before:
                break
        return found

    def _placed(self, node: int, places: Mapping[int, np.ndarray]) -> list[tuple[int, int]]:
        """Edges to neighbours that have a place, with these neighbours."""
        ends = [(e, sum(self.edges[e]) - node) for e in self._neighbours[node]]
        return [(e, other) for e, other in ends if other in places]

    def _around(
        self,
        node: int,
        places: Mapping[int, np.ndarray],
        grid: Float[np.ndarray, "pixels d"],
        known: dict[tuple[int, int, bytes], np.ndarray],
    ) -> Float[np.ndarray, "pixels"]:
        """What a landmark's neighbours say of every pixel; ``known`` keeps what each has said from where it was."""
        total = np.zeros(len(grid))
        for e, other in self._placed(node, places):
            said = (e, other, places[other].tobytes())
            if said not in known:
                ends = (grid, places[other]) if node < other else (places[other], grid)
                known[said] = _weighted(self.weights.pair[e], self.pair(e, *ends))
            total += known[said]
        return total

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "names": list(self.names),
            "kinds": list(self.kinds),
            "edges": [list(edge) for edge in self.edges],
            "statistics": [one.as_dict() for one in self.statistics],
            "weights": {name: value.tolist() for name, value in vars(self.weights).items()},
            "floor": self.floor,
            "refines": self.refines,
            "misses": self.misses,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LandmarkCRF":
        """The reverse of `as_dict`."""
        kinds = tuple(values["kinds"])
        weights = {name: np.array(value, float) for name, value in values["weights"].items()}
        weights["pair"] = weights["pair"].reshape(-1, len(kinds))
        return cls(
            tuple(values["names"]),
            kinds,
            tuple((int(i), int(j)) for i, j in values["edges"]),
            tuple(PairStatistics.from_dict(one) for one in values["statistics"]),
            Weights(**weights),
            float(values["floor"]),
            bool(values["refines"]),
            bool(values["misses"]),
        )


def _weighted(weights: Float[np.ndarray, "p"], energies: Float[np.ndarray, "p *ab"]) -> Float[np.ndarray, "*ab"]:
    # not a matrix product: for so few rows the threads of one cost more than they bring
    return sum(weight * energy for weight, energy in zip(weights, energies, strict=True))
