"""The anatomy of a simulated chest: where ribs, lungs, heart and diaphragm of a patient lie.

Lengths are parts of the picture's height, x to the viewer's right from the spine, y down from the upper edge.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

PAIRS = (8, 12)  # fewest and most pairs of ribs
NAMED = 9  # pairs that have landmarks, from the top
SIDES = {"right": -1, "left": 1}  # the patient's right is on the viewer's left
ROOT = 0.035  # of a rib, from the midline
VERTICES = 13  # of a centre line
HALF_WIDTH = 0.02  # of the area that counts as on a rib: 7.5 mm where the picture is 375 mm high


@dataclass(frozen=True)
class Rib:
    """One rib.

    Attributes:
        number: From 1, counted from the top.
        side: -1 or 1.
        posterior: The part behind the lung, from the spine to the chest's wall, (n, 2).
        anterior: Its way on to the front, (m, 2).
        key: The middle of the posterior part, half its length from both ends.
    """

    number: int
    side: int
    posterior: Float[np.ndarray, "n 2"]
    anterior: Float[np.ndarray, "m 2"]
    key: Float[np.ndarray, "2"]

    @property
    def name(self) -> str:
        """As the table of landmarks has it: right_1 to left_9."""
        return f"{'left' if self.side > 0 else 'right'}_{self.number}"


@dataclass(frozen=True)
class Chest:
    """One patient.

    Attributes:
        ribs: All of both sides.
        widths: Half the chest's width at heights, as (height, width) rows.
        domes: Of the diaphragm, height of the right and the left one.
        heart: Centre x, y and half axes.
    """

    ribs: tuple[Rib, ...]
    widths: Float[np.ndarray, "k 2"]
    domes: tuple[float, float]
    heart: tuple[float, float, float, float]


def draw_chest(rng: np.random.Generator) -> Chest:
    """A patient; how many pairs of ribs, how far apart, how wide and how steep differ."""
    pairs = int(rng.integers(PAIRS[0], PAIRS[1] + 1))
    scale, turn = rng.uniform(0.78, 1.06), np.deg2rad(rng.uniform(-6, 6))
    centre = np.array([rng.uniform(-0.07, 0.07), rng.uniform(-0.06, 0.1)])
    gaps = 0.066 * scale * rng.uniform(0.88, 1.12, pairs) * rng.uniform(0.94, 1.06)
    heights = 0.11 + np.cumsum(gaps) - gaps[0]
    ranks = np.arange(pairs)
    widths = scale * rng.uniform(0.95, 1.05) * (0.14 + 0.25 * (1 - np.exp(-ranks / 2.4)))
    drop = (0.055 + 0.011 * ranks) * rng.uniform(0.8, 1.25)
    rise = rng.uniform(0.0, 0.015)
    ribs = []
    for side in SIDES.values():
        own = heights + rng.normal(0, 0.004, pairs)
        stretch = rng.uniform(0.97, 1.03)
        for i in range(pairs):
            posterior, anterior = (
                _moved(_course(t, side * stretch, widths[i], own[i], drop[i], rise), centre, turn)
                for t in (np.linspace(0, 1, VERTICES), np.linspace(1, 1.55, VERTICES))
            )
            ribs.append(Rib(i + 1, side, posterior, anterior, middle_of(posterior)))
    bottom = heights[-1] + drop[-1]
    right = centre[1] + min(bottom + 0.01, 0.74 * scale + rng.uniform(-0.05, 0.04))
    table = np.stack([np.append(heights, bottom + 0.2) + centre[1], np.append(widths, widths[-1])], 1)
    size = scale * rng.uniform(0.9, 1.25)
    heart = (centre[0] + 0.06 * size, right - 0.1, 0.13 * size, 0.12 * size)
    return Chest(tuple(ribs), table, (right, right + rng.uniform(0.005, 0.03)), heart)


def middle_of(line: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2"]:
    """The point of a polyline that has as much of it before as behind it.

    >>> middle_of(np.array([[0.0, 0], [0, 3], [5, 3]])).tolist()
    [1.0, 3.0]
    """
    lengths = np.append(0.0, np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum())
    found: np.ndarray = np.array([np.interp(lengths[-1] / 2, lengths, axis) for axis in line.T])
    return found


def _course(t: np.ndarray, side: float, width: float, height: float, drop: float, rise: float) -> np.ndarray:
    """A quarter of an ellipse from the spine out and down to the wall (t up to 1), then on to the front."""
    x = ROOT + (width - ROOT) * np.sin(np.pi / 2 * t)
    y = height - rise * np.sin(np.pi * np.minimum(t, 1)) + drop * (1 - np.cos(np.pi / 2 * t))
    return np.stack([side * x, y], 1)


def _moved(points: np.ndarray, centre: np.ndarray, turn: float) -> np.ndarray:
    """Turned about the middle of the chest and moved."""
    middle = np.array([0.0, 0.45])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    found: np.ndarray = (points - middle) @ matrix.T + middle + centre
    return found
