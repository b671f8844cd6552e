"""Agreement of a map with a mask of the true evidence, in share and in mm.

It says whether the network looked where it should. That is not faithfulness: a faithful map of a network that looks at
the wrong thing disagrees with the mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy import ndimage
from torch import Tensor

from saccade.errors import InputError
from saccade.explain.boxes import as_array

Map = Float[Tensor | np.ndarray, "*space"]
Mask = Shaped[Tensor | np.ndarray, "*grid"]


def pointing_game(
    map_: Map, mask: Mask, *, tolerance_mm: float = 0.0, spacing_mm: Sequence[float] | None = None
) -> bool:
    """Whether the map's highest value lies in the mask, or no further from it than a tolerance.

    Zhang et al., 2016, https://arxiv.org/abs/1608.00507. A map that is nowhere positive points nowhere.

    Args:
        map_: One item's map.
        mask: Where the evidence is, on the same grid.
        tolerance_mm: Distance that still counts, in mm (in voxels without ``spacing_mm``).
        spacing_mm: Size of a voxel along each axis; default 1.

    Raises:
        InputError: If the mask is empty, has another shape, or the spacing does not fit.
    """
    values, distance = _checked("pointing_game", map_, mask, spacing_mm)
    if not values.any():
        return False
    return bool(distance.flat[values.argmax()] <= tolerance_mm)


def energy_inside(map_: Map, mask: Mask) -> float:
    """The share of the map's positive part that lies in the mask, 0..1; 0 for a map that is nowhere positive.

    The energy-based pointing game of Wang et al., 2020, https://arxiv.org/abs/1910.01279, section 4.3.

    Raises:
        InputError: As `pointing_game`.

    >>> energy_inside(np.array([3.0, 1.0, -5.0]), np.array([1, 0, 0]))
    0.75
    """
    values, distance = _checked("energy_inside", map_, mask, None)
    total = values.sum()
    return float(values[distance == 0].sum() / total) if total > 0 else 0.0


@dataclass(frozen=True)
class Agreement:
    """Distances between a map and a mask, in mm.

    Attributes:
        peak_mm: From the voxel with the highest value to the nearest voxel of the mask; 0 inside.
        centroid_mm: From the voxel at the centroid of the map's positive part to the nearest voxel of the mask.
        centres_mm: Between that centroid and the mask's.
    """

    peak_mm: float
    centroid_mm: float
    centres_mm: float


def agreement_mm(map_: Map, mask: Mask, spacing_mm: Sequence[float] | None = None) -> Agreement | None:
    """How far a map's peak and centroid lie from a mask; None for a map that is nowhere positive.

    Args:
        map_: One item's map.
        mask: Where the evidence is, on the same grid.
        spacing_mm: Size of a voxel along each axis; default 1.

    Raises:
        InputError: As `pointing_game`.

    >>> agreement_mm(np.array([0.0, 0.0, 0.0, 2.0]), np.array([1, 0, 0, 0]), [0.5])
    Agreement(peak_mm=1.5, centroid_mm=1.5, centres_mm=1.5)
    """
    values, distance = _checked("agreement_mm", map_, mask, spacing_mm)
    if not values.any():
        return None
    size = np.ones(values.ndim) if spacing_mm is None else np.asarray(spacing_mm, dtype=float)
    centroid = np.array(ndimage.center_of_mass(values))
    middle = np.array(ndimage.center_of_mass(distance == 0))
    return Agreement(
        float(distance.flat[values.argmax()]),
        float(distance[tuple(np.rint(centroid).astype(int))]),
        float(np.linalg.norm((centroid - middle) * size)),
    )


def _checked(who: str, map_: Map, mask: Mask, spacing: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    """The positive part of the map, and at each voxel the distance to the mask."""
    values, inside = np.nan_to_num(as_array(map_).astype(float)).clip(min=0), as_array(mask).astype(bool)
    if values.shape != inside.shape:
        raise InputError(f"{who}: map and mask must have one shape, got {values.shape} and {inside.shape}.")
    if not inside.any():
        raise InputError(f"{who}: the mask must hold at least one voxel, got an empty one.")
    if spacing is not None and (len(spacing) != inside.ndim or min(spacing) <= 0):
        raise InputError(
            f"{who}: spacing_mm must have a positive number for each of the {inside.ndim} axes, got {tuple(spacing)}."
        )
    return values, ndimage.distance_transform_edt(~inside, sampling=spacing)
