"""Where a landmark may be: the highest local maxima of its heat map."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import maximum_filter

from saccade.errors import InputError


@dataclass(frozen=True)
class Hypotheses:
    """Possible places of one landmark, the hottest first.

    Attributes:
        indices: Pixels.
        heat: Of these pixels.
    """

    indices: Int[np.ndarray, "k d"]
    heat: Float[np.ndarray, "k"]


def find_hypotheses(heat: Float[np.ndarray, "*space"], *, count: int = 10, radius: float = 10.0) -> Hypotheses:
    """The local maxima of a heat map, of those nearer than ``radius`` to a higher one only that one.

    A pixel is a maximum if none of its neighbours, diagonal ones included, is hotter; the hottest pixel is always among
    those given, so that there is one at least.

    Args:
        heat: Of any number of axes.
        count: How many are kept, the paper's n.
        radius: In pixels.

    Raises:
        InputError: If count is below 1, the radius negative, or the map empty or not finite.

    >>> find_hypotheses(np.array([0.1, 0.9, 0.2, 0.4, 0.3]), radius=1.5).indices.tolist()
    [[1], [3]]
    """
    if count < 1 or radius < 0:
        raise InputError(f"find_hypotheses: count must be 1 or more and radius 0 or more, got {count} and {radius:g}.")
    if heat.size == 0 or not np.isfinite(heat).all():
        raise InputError(f"find_hypotheses: the heat map must hold finite numbers, got shape {heat.shape}.")
    places = np.argwhere((maximum_filter(heat, 3, mode="nearest") == heat) & (heat > heat.min()))
    if not len(places):  # the same everywhere
        places = np.zeros((1, heat.ndim), int)
    values = heat[tuple(places.T)]
    order = np.argsort(-values, kind="stable")
    places, values = places[order], values[order]
    kept: list[int] = []
    free = np.ones(len(places), bool)
    while len(kept) < count and free.any():
        best = int(free.argmax())
        kept.append(best)
        free &= np.linalg.norm(places - places[best], axis=1) > radius
        free[best] = False
    return Hypotheses(places[kept], values[kept])
