"""The small simulation of the method's fact sheet: nine ribs of which the right candidate is sometimes missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saccade.landmarks.crf import Candidates
from saccade.landmarks.learning import Example

RIBS, SPACING, TOLERANCE, STEP = 9, 40.0, 12.0, 2.0
MISSED = 0.08


@dataclass
class Subject:
    """One image of it, along one axis."""

    truth: np.ndarray
    candidates: list[Candidates]
    heat: list[np.ndarray]
    grid: np.ndarray

    def example(self) -> Example:
        return Example(self.candidates, self.truth, lambda i: self.heat[i], self.grid)


def subject(rng: np.random.Generator, slope: float = 0.35) -> Subject:
    gaps = rng.normal(SPACING, 4.0, RIBS)
    ribs = rng.uniform(-25, 25) + 60 + np.cumsum(gaps) + rng.normal(0, 2.0, RIBS)
    grid = np.arange(0.0, 600.0, STEP)
    candidates, heat = [], []
    for i in range(RIBS):
        ranks = [j for j in range(i - 2, i + 3) if 0 <= j < RIBS]
        scores = np.array([0.75 - slope * abs(i - j) + rng.normal(0, 0.18) for j in ranks])
        missed = rng.random() < MISSED
        kept = [n for n, j in enumerate(ranks) if not (missed and j == i)]
        order = sorted(kept, key=lambda n: -scores[n])
        places = np.array([ribs[ranks[n]] for n in order])[:, None]
        candidates.append(Candidates(places, np.clip(scores[order], 1e-3, 1.0)))
        heat.append(0.02 + 0.3 * np.exp(-0.5 * ((grid - ribs[i]) / 6.0) ** 2))
    return Subject(ribs[:, None], candidates, heat, grid[:, None])


def subjects(count: int, seed: int, slope: float = 0.35) -> list[Subject]:
    rng = np.random.default_rng(seed)
    return [subject(rng, slope) for _ in range(count)]


def rates(places: Sequence[Sequence[np.ndarray | None]], found: Sequence[Subject]) -> tuple[float, float]:
    """Share of ribs within the tolerance, and of subjects all of whose ribs are."""
    right = np.array(
        [
            [
                place is not None and abs(place - truth).item() < TOLERANCE
                for place, truth in zip(row, s.truth, strict=True)
            ]
            for row, s in zip(places, found, strict=True)
        ]
    )
    return float(right.mean()), float(right.all(1).mean())
