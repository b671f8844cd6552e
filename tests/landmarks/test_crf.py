"""The CRF: its inferences are exact, and its escape label repairs what a missing hypothesis breaks."""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "evidence"))
from rib_ladder import RIBS, TOLERANCE, rates, subjects

from saccade.landmarks import LandmarkCRF, fit_crf, fit_pair
from saccade.landmarks.crf import MISSING, REFINE, Candidates, Solution, Weights
from saccade.landmarks.learning import Example, right_share, solve_places

NAMES = tuple(f"rib{i}" for i in range(RIBS))


def chain(positions: np.ndarray, *, refines: bool = True) -> LandmarkCRF:
    """The sheet's: every weight is 1, refine costs 0.5 and 0.5 with each neighbour."""
    edges = [(i, i + 1) for i in range(positions.shape[1] - 1)]
    statistics = [fit_pair(positions[:, i], positions[:, j], least_std=0.0) for i, j in edges]
    weights = Weights.equal(positions.shape[1], len(edges), 1, refine=0.5)
    names = NAMES[: positions.shape[1]]
    return LandmarkCRF(names, ("translation",), tuple(edges), tuple(statistics), weights, refines=refines)


def random_case(seed: int, nodes: int = 5, count: int = 4) -> tuple[LandmarkCRF, list[Candidates]]:
    rng = np.random.default_rng(seed)
    positions = rng.normal(0, 10, (20, 1, 2)) + 20 * np.arange(nodes)[:, None] + rng.normal(0, 3, (20, nodes, 2))
    crf = replace(chain(positions), misses=True)
    places = rng.normal(positions[0][:, None], 8, (nodes, count, 2))
    return crf, [Candidates(p, rng.random(count)) for p in places]


def total(crf: LandmarkCRF, candidates: list[Candidates], labels) -> float:
    """The energy, by its definition."""
    w, energy = crf.weights, 0.0
    for i, label in enumerate(labels):
        own = {REFINE: w.refine[i], MISSING: w.missing[i]}
        energy += own[label] if label < 0 else w.unary[i] * -np.log(max(candidates[i].heat[label], crf.floor))
    for e, (i, j) in enumerate(crf.edges):
        ends = labels[i], labels[j]
        if MISSING in ends:
            energy += w.missing_pair[e]
        elif REFINE in ends:
            energy += w.refine_pair[e]
        else:
            a, b = candidates[i].places[labels[i]], candidates[j].places[labels[j]]
            energy += float(w.pair[e] @ crf.pair(e, a, b))
    return energy


@pytest.mark.parametrize("seed", range(3))
def test_the_first_inference_is_what_trying_everything_finds(seed) -> None:
    crf, candidates = random_case(seed, count=3)
    crf = replace(crf, weights=replace(crf.weights, missing=np.full(5, 2.0), missing_pair=np.full(4, 0.3)))
    found = crf.solve(candidates)
    labels = list(product(*[[0, 1, 2, REFINE, MISSING]] * 5))
    energies = [total(crf, candidates, one) for one in labels]
    assert found.energy == pytest.approx(min(energies))
    assert found.labels == labels[int(np.argmin(energies))]


def test_the_second_inference_is_the_arg_min_over_all_pixels() -> None:
    crf, candidates = random_case(7)
    grid = np.stack(np.meshgrid(np.arange(-20, 120, 4.0), np.arange(-30, 31, 4.0), indexing="ij"), -1).reshape(-1, 2)
    heat = np.random.default_rng(8).random(len(grid))
    solution = Solution((0, 1, REFINE, 2, 0), 0.0)
    pixels = crf.refine(solution, candidates, lambda i: heat, grid)
    energies = [
        -np.log(max(heat[n], crf.floor))
        + float(crf.pair(1, candidates[1].places[1], place)[0] + crf.pair(2, place, candidates[3].places[2])[0])
        for n, place in enumerate(grid)
    ]
    assert pixels == {2: int(np.argmin(energies))}


def test_neighbours_that_both_have_no_hypothesis_come_to_rest_where_neither_can_do_better_alone() -> None:
    crf, candidates = random_case(9)
    grid = np.stack(np.meshgrid(np.arange(-20, 120, 4.0), np.arange(-30, 31, 4.0), indexing="ij"), -1).reshape(-1, 2)
    heat = {i: np.random.default_rng(i).random(len(grid)) for i in (1, 2)}
    pixels = crf.refine(Solution((0, REFINE, REFINE, 2, 0), 0.0), candidates, heat.__getitem__, grid)

    def energy(one: int, two: int) -> float:
        ends = [candidates[0].places[0], grid[one], grid[two], candidates[3].places[2]]
        pairs = sum(float(crf.pair(e, ends[e], ends[e + 1])[0]) for e in range(3))
        return pairs - np.log(max(heat[1][one], 1e-3)) - np.log(max(heat[2][two], 1e-3))

    rest = energy(pixels[1], pixels[2])
    assert rest == pytest.approx(min(energy(n, pixels[2]) for n in range(len(grid))))
    assert rest == pytest.approx(min(energy(pixels[1], n) for n in range(len(grid))))


def test_the_sheets_simulation() -> None:
    found = subjects(200, seed=0)
    known = np.stack([one.truth for one in subjects(100, seed=1)])
    plain, refined = chain(known, refines=False), chain(known)
    argmax = rates([[c.places[0] for c in one.candidates] for one in found], found)
    without, with_it = (rates([solve_places(crf, s.example()) for s in found], found) for crf in (plain, refined))
    assert with_it[0] >= without[0] + 0.15
    assert with_it[0] >= argmax[0] + 0.08
    assert argmax[1] < without[1] < with_it[1]  # all nine right


def test_learned_weights_are_better_than_those_that_learning_begins_with() -> None:
    known = np.stack([one.truth for one in subjects(40, seed=1)])
    tuning = [one.example() for one in subjects(12, seed=2)]
    unseen = [one.example() for one in subjects(60, seed=3)]
    learned = fit_crf(NAMES, known, tuning, tolerance=TOLERANCE, width=1, least_std=0.5)
    start = fit_crf(NAMES, known, [], tolerance=TOLERANCE, width=1, least_std=0.5)
    assert start.weights.unary.tolist() == [1.0] * RIBS
    assert right_share(learned, unseen, TOLERANCE) > right_share(start, unseen, TOLERANCE) + 0.02


def test_a_strong_penalty_removes_edges() -> None:
    known = np.stack([one.truth for one in subjects(30, seed=1)])
    tuning = [one.example() for one in subjects(4, seed=2)]
    few, many = (fit_crf(NAMES, known, tuning, tolerance=TOLERANCE, width=1, l1=l1) for l1 in (50.0, 0.0))
    assert len(few.edges) < len(many.edges)


def test_a_landmark_that_is_not_there_can_be_called_missing() -> None:
    rng = np.random.default_rng(0)
    known = np.stack([one.truth for one in subjects(40, seed=1)])
    examples = []
    for one in subjects(16, seed=2):
        truth, candidates = one.truth.copy(), list(one.candidates)
        gone = int(rng.integers(RIBS))
        truth[gone] = np.nan
        candidates[gone] = Candidates(rng.uniform(0, 500, (3, 1)), np.array([0.03, 0.02, 0.02]))
        examples.append(Example(candidates, truth, lambda i: np.full(300, 0.02), one.grid))
    crf = fit_crf(NAMES, known, examples[:8], tolerance=TOLERANCE, misses=True, width=1)
    told = [[place is None for place in solve_places(crf, example)] for example in examples[8:]]
    gone = [np.isnan(example.truth[:, 0]).tolist() for example in examples[8:]]
    assert np.mean([a == b for x, y in zip(told, gone, strict=True) for a, b in zip(x, y, strict=True)]) > 0.9
    assert not any(place is None for place in solve_places(replace(crf, misses=False), examples[8]))


def test_it_survives_json() -> None:
    crf, candidates = random_case(3)
    again = LandmarkCRF.from_dict(crf.as_dict())
    assert again.as_dict() == crf.as_dict()
    assert again.solve(candidates) == crf.solve(candidates)
