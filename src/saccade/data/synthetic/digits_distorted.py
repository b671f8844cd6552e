"""Digits turned, scaled, moved, seen at an angle, bent or cluttered, as in Jaderberg et al. 2015, arXiv:1506.02025."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from saccade.data.synthetic.digits import SIDE, scatter, source_digits, write_digits
from saccade.errors import InputError, unknown_name

_HALF = SIDE / 2
_CORNERS = _HALF * np.array([(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)])
_CONTROLS = _HALF * np.stack(np.meshgrid(*[np.linspace(-1, 1, 4)] * 2, indexing="ij"), -1).reshape(-1, 2)
PIECE = 6  # pixels of a side
_MOST_OF_CORNERS = 6.0  # pixels along each axis: no corner then passes the line between its neighbours


@dataclass(frozen=True)
class Distortion:
    """What may be done to a digit of 28 x 28 pixels; it then lies anywhere on the picture where those fit.

    Attributes:
        canvas: Pixels of the picture's sides.
        degrees: Largest angle by which it is turned.
        scale: Smallest and largest magnification.
        corners: Pixels by which its corners are moved along each axis, standard deviation; at most 6.
        bend: Pixels by which 4 x 4 points of a spline through it are moved along each axis, standard deviation.
        pieces: How many pieces of 6 x 6 from other digits lie about.
    """

    canvas: int
    degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    corners: float = 0.0
    bend: float = 0.0
    pieces: int = 0


# All but the last are the paper's. What the last asks for, a network can learn within a minute on a CPU.
DISTORTIONS = {
    "rts": Distortion(42, degrees=45.0, scale=(0.7, 1.2)),
    "rotated": Distortion(28, degrees=90.0),
    "projective": Distortion(42, scale=(0.75, 1.0), corners=5.0),
    "elastic": Distortion(28, bend=1.5),
    "cluttered": Distortion(60, pieces=16),
    "easy": Distortion(40, degrees=6.0, scale=(0.75, 0.85), pieces=2),
}


@dataclass(frozen=True)
class Place:
    """How a digit lies: its middle in pixels from the picture's upper left corner, its angle against the clock, its
    magnification."""

    row: float
    column: float
    degrees: float
    scale: float


def make(
    out: Path,
    *,
    cases: int,
    seed: int,
    progress: Callable[[int, int], Any] | None = None,
    distortion: str = "rts",
    digits: Path | None = None,
) -> list[str]:
    """Write ``digits.npz`` with ``images`` and ``labels``, and ``truth/places.csv`` with how each digit lies.

    A case does not depend on how many there are.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many.
        seed: Even for training, odd for testing: they share no digit; see `source_digits`.
        progress: Called with (cases done, cases) after each.
        distortion: Of `DISTORTIONS`; ``rts`` turns, scales and moves.
        digits: Folder of MNIST's files; None for scikit-learn's digits.

    Returns:
        The ids of the cases, as the layout gives them.

    Raises:
        InputError: For an unknown distortion, no case, or digits that cannot be used.
    """
    if distortion not in DISTORTIONS:
        raise unknown_name("--distortion", "distortion", distortion, list(DISTORTIONS))
    if cases < 1:
        raise InputError(f"digits: must be 1 case or more, got {cases}.")
    how = DISTORTIONS[distortion]
    images, labels = source_digits(seed, digits)
    pictures, chosen = np.zeros((cases, how.canvas, how.canvas), np.uint8), np.zeros(cases, int)
    places: list[tuple[str, ...]] = [("case", "row", "column", "degrees", "scale")]
    ids = [f"image_{case:05d}" for case in range(cases)]
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        chosen[case] = rng.integers(len(images))
        pictures[case], place = distort(images[chosen[case]], how, rng)
        places.append((ids[case], *(f"{v:.3f}" for v in (place.row, place.column, place.degrees, place.scale))))
        for _ in range(how.pieces):
            scatter(pictures[case], images[rng.integers(len(images))], PIECE, rng)
        if progress:
            progress(case + 1, cases)
    write_digits(out, pictures, labels[chosen], places)
    return ids


def distort(
    digit: UInt8[np.ndarray, "28 28"], how: Distortion, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "n n"], Place]:
    """A picture of the distorted digit, and how it lies on it.

    Args:
        digit: Grey levels.
        how: Largest changes.
        rng: Decides which.

    Example:
        >>> picture, place = distort(np.eye(28, dtype=np.uint8), Distortion(28), np.random.default_rng(0))
        >>> bool((picture == np.eye(28)).all()), place.row
        (True, 14.0)
    """
    scale, degrees = rng.uniform(*how.scale), rng.uniform(-how.degrees, how.degrees)
    slack = max(0.0, (how.canvas - SIDE * scale) / 2)
    middle = how.canvas / 2 + rng.uniform(-slack, slack, 2)
    rows_columns = np.indices((how.canvas, how.canvas)).reshape(2, -1).T + 0.5
    # Back from the picture to the digit: positions there, row and column from its middle, in its own pixels.
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = (rows_columns - middle) @ np.array([(cos, -sin), (sin, cos)]) / scale
    if how.corners:
        moved = np.clip(rng.normal(0, how.corners, _CORNERS.shape), -_MOST_OF_CORNERS, _MOST_OF_CORNERS)
        points = _project(points, _CORNERS + moved, _CORNERS)
    if how.bend:
        spline = RBFInterpolator(_CONTROLS, rng.normal(0, how.bend, _CONTROLS.shape), kernel="thin_plate_spline")
        points = points + spline(points)
    seen = map_coordinates(digit.astype(float), (points + _HALF - 0.5).T, order=1, mode="grid-constant")
    picture = np.rint(seen).astype(np.uint8).reshape(how.canvas, how.canvas)
    return picture, Place(float(middle[0]), float(middle[1]), float(degrees), float(scale))


def _project(
    points: Float[np.ndarray, "n 2"], source: Float[np.ndarray, "4 2"], target: Float[np.ndarray, "4 2"]
) -> Float[np.ndarray, "n 2"]:
    """The projective map that sends four points to four others; what lies behind its horizon goes far outside."""
    rows: list[tuple[float, ...]] = []
    right: list[float] = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        right += [u, v]
    matrix = np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    bottom = mapped[:, 2:]
    return np.where(bottom > 1e-6, mapped[:, :2] / np.maximum(bottom, 1e-6), 10.0 * SIDE)
