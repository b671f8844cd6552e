"""The weights of a landmark CRF: a structured hinge with a penalty that removes edges, then a calibration on the rate.

The potentials are linear in the weights, so that the hinge of a case

    max_y [E(y*) - E(y) + D(y)]_+,   D = 1 for each wrong label, 1/2 for a refine where a right hypothesis is there

has the subgradient f(y*) - f(y') with y' the label set that exact inference finds when wrong labels are rewarded
(Tsochantaridis et al. 2005). The sum over cases plus ``l1`` times the potentials' weights is minimised with AdaGrad.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from saccade.landmarks.crf import MISSING, REFINE, Candidates, LandmarkCRF, Solution, Weights
from saccade.landmarks.graph import choose_graph

STEPS, RATE = 40, 0.15
NEVER = 1e9  # energy of a label that is ruled out
PRUNED = 0.02  # edges whose weights together are below this are removed
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # tried as factors on all pairwise weights
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0, 4.0)  # tried as additions to b_i
WORTH = 0.01  # of right landmarks, for a doubling or an addition of 1


@dataclass(frozen=True)
class Example:
    """An image whose landmarks are known, not among those that the network was trained on.

    Attributes:
        candidates: Of each landmark.
        truth: Where the landmarks are, NaN where one is missing; units of the statistics.
        heat: Gives the heat map of a landmark, flattened.
        grid: Where each pixel is.
    """

    candidates: Sequence[Candidates]
    truth: Float[np.ndarray, "n d"]
    heat: Callable[[int], Float[np.ndarray, "pixels"]]
    grid: Float[np.ndarray, "pixels d"]


def fit_crf(
    names: Sequence[str],
    positions: Float[np.ndarray, "m n d"],
    examples: Sequence[Example],
    *,
    tolerance: float,
    kinds: Sequence[str] = ("translation",),
    refines: bool = True,
    misses: bool = False,
    width: int = 3,
    l1: float = 0.05,
    floor: float = 1e-3,
    least_std: float = 1.0,
) -> LandmarkCRF:
    """A CRF for landmarks: graph and statistics from training positions, weights from other images.

    Args:
        names: Of the landmarks.
        positions: In m training images, NaN where one is missing.
        examples: Images with heat maps; with none the weights are those that learning begins with.
        tolerance: Distance up to which a hypothesis is right.
        kinds: Potentials on every edge.
        refines: Whether there is the label refine.
        misses: Whether there is the label missing.
        width: Of the graph; see `saccade.landmarks.graph.choose_graph`.
        l1: Penalty on the potentials' weights.
        floor: Of the heat.
        least_std: Of the positions, in their units.
    """
    graph = choose_graph(positions, width=width, least_std=least_std)
    weights = Weights.equal(len(names), len(graph), len(kinds))
    crf = LandmarkCRF(tuple(names), tuple(kinds), tuple(graph), tuple(graph.values()), weights, floor, refines, misses)
    if not examples:
        return crf
    crf = _pruned(replace(crf, weights=_learn(crf, examples, tolerance, l1)))
    return _calibrated(crf, examples, tolerance)


def solve_places(crf: LandmarkCRF, example: Example) -> list[np.ndarray | None]:
    """Place of each landmark after both inferences; None where it is called missing."""
    solution = crf.solve(example.candidates)
    pixels = crf.refine(solution, example.candidates, example.heat, example.grid)
    return [
        example.candidates[i].places[label] if label >= 0 else example.grid[pixels[i]] if label == REFINE else None
        for i, label in enumerate(solution.labels)
    ]


def right_share(crf: LandmarkCRF, examples: Sequence[Example], tolerance: float) -> float:
    """Share of landmarks that end within the tolerance; one that is missing is right where it is called so."""
    right, count = 0, 0
    for example in examples:
        for place, truth in zip(solve_places(crf, example), example.truth, strict=True):
            if np.isfinite(truth).all():
                count += 1
                right += place is not None and bool(np.linalg.norm(place - truth) <= tolerance)
            elif crf.misses:
                count += 1
                right += place is None
    return right / max(1, count)


def _learn(crf: LandmarkCRF, examples: Sequence[Example], tolerance: float, l1: float) -> Weights:
    """The mean of the weights of the second half of the steps."""
    wanted = [
        [_right_label(crf, c, t, tolerance) for c, t in zip(e.candidates, e.truth, strict=True)] for e in examples
    ]
    between = [crf.between(example.candidates) for example in examples]
    current = {name: value.copy() for name, value in vars(crf.weights).items()}
    squares = {name: np.full_like(value, 1e-8) for name, value in current.items()}
    mean = {name: np.zeros_like(value) for name, value in current.items()}
    for step in range(STEPS):
        model = replace(crf, weights=Weights(**current))
        gradient = {name: np.zeros_like(value) for name, value in current.items()}
        for example, labels, tables in zip(examples, wanted, between, strict=True):
            best = model.solve(example.candidates, _only(model, example.candidates, labels), tables)
            worst = model.solve(example.candidates, _wrong(model, example.candidates, labels), tables)
            for sign, solution in ((1, best), (-1, worst)):
                _add_features(model, example.candidates, solution, tables, sign / len(examples), gradient)
        for name, value in current.items():
            squares[name] += gradient[name] ** 2
            value -= RATE * gradient[name] / np.sqrt(squares[name])
            value -= RATE * l1 if name == "pair" else 0.0  # not divided: it must not count the more the less data say
            np.maximum(value, 0.0, out=value)
            if step >= STEPS // 2:
                mean[name] += value / (STEPS - STEPS // 2)
    return Weights(**mean)


def _right_label(crf: LandmarkCRF, candidates: Candidates, truth: np.ndarray, tolerance: float) -> int | None:
    """The label that a landmark ought to get; None where any will do."""
    if not np.isfinite(truth).all():
        return MISSING if crf.misses else None
    away = np.linalg.norm(candidates.places - truth, axis=1)
    return int(away.argmin()) if away.min() <= tolerance or not crf.refines else REFINE


def _only(crf: LandmarkCRF, candidates: Sequence[Candidates], labels: Sequence[int | None]) -> list[np.ndarray]:
    """Rewards that leave every landmark its right label alone."""
    rewards = []
    for one, label in zip(candidates, labels, strict=True):
        reward = np.zeros(len(one.heat) + len(crf.extra))
        if label is not None:
            reward -= NEVER
            reward[crf.state(label, one)] = 0.0
        rewards.append(reward)
    return rewards


def _wrong(crf: LandmarkCRF, candidates: Sequence[Candidates], labels: Sequence[int | None]) -> list[np.ndarray]:
    """Rewards for wrong labels."""
    rewards = []
    for one, label in zip(candidates, labels, strict=True):
        reward = np.zeros(len(one.heat) + len(crf.extra))
        if label is not None:
            reward += 1.0
            if label >= 0 and crf.refines:
                reward[crf.state(REFINE, one)] = 0.5
            reward[crf.state(label, one)] = 0.0
        rewards.append(reward)
    return rewards


def _add_features(
    crf: LandmarkCRF,
    candidates: Sequence[Candidates],
    solution: Solution,
    between: Sequence[np.ndarray],
    factor: float,
    total: dict[str, np.ndarray],
) -> None:
    """Add ``factor`` times what each weight is multiplied by in the energy of a solution."""
    labels = solution.labels
    for i, label in enumerate(labels):
        if label >= 0:
            total["unary"][i] += factor * float(crf.unary(candidates[i].heat)[label])
        else:
            total["refine" if label == REFINE else "missing"][i] += factor
    for e, (i, j) in enumerate(crf.edges):
        ends = labels[i], labels[j]
        if min(ends) >= 0:
            total["pair"][e] += factor * between[e][(slice(None), *ends)]
        else:
            total["missing_pair" if MISSING in ends else "refine_pair"][e] += factor


def _pruned(crf: LandmarkCRF) -> LandmarkCRF:
    """Without the edges that have no weight left."""
    kept = np.flatnonzero(crf.weights.pair.sum(1) >= PRUNED)
    edge_weights = {name: getattr(crf.weights, name)[kept] for name in ("pair", "refine_pair", "missing_pair")}
    return replace(
        crf,
        edges=tuple(crf.edges[e] for e in kept),
        statistics=tuple(crf.statistics[e] for e in kept),
        weights=replace(crf.weights, **edge_weights),
    )


def _calibrated(crf: LandmarkCRF, examples: Sequence[Example], tolerance: float) -> LandmarkCRF:
    """One factor on all pairwise weights and one addition to all b_i, chosen by the share of right landmarks.

    The hinge knows nothing of the second inference; this does. Few examples tell small differences wrongly, so every
    step away from what was learned must be worth `WORTH`.
    """
    best, most = crf, -np.inf
    for scale in SCALES:
        for shift in SHIFTS if crf.refines else (0.0,):
            weights = replace(
                crf.weights,
                pair=scale * crf.weights.pair,
                refine_pair=scale * crf.weights.refine_pair,
                missing_pair=scale * crf.weights.missing_pair,
                refine=np.maximum(crf.weights.refine + shift, 0.0),
            )
            tried = replace(crf, weights=weights)
            worth = right_share(tried, examples, tolerance) - WORTH * (abs(np.log2(scale)) + abs(shift))
            if worth > most:
                best, most = tried, worth
    return best
