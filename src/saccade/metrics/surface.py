"""Distances between the surfaces of two masks, in millimetres, for images and volumes alike.

Two definitions of a surface: ``"voxel"``, the voxels of a mask with a face neighbour outside it (the array's border is
outside), each counting the same; ``"area"``, the marching-cubes surface in the cells between voxel centres, each cell
counting by its area (Nikolov et al., 2018, https://arxiv.org/abs/1809.04430; code: google-deepmind/surface-distance).
The rules for empty masks are those of docs/metrics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from saccade.errors import InputError, unknown_name
from saccade.metrics.inputs import Real, Spacing, as_masks, as_spacing
from saccade.metrics.marching import cell_codes, cell_measures

DEFINITIONS = ("voxel", "area")

# Positions are products of an index and a spacing: 3 * 0.1 mm must still lie within a tolerance of 0.3 mm.
_ROUNDING_MM = 1e-9


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance of every surface element to the other surface, and what each element counts.

    Its scores are those of the rules for empty masks: where one mask alone is empty the worst there is, nan where both
    are.

    Attributes:
        to_truth: From each element of the prediction's surface to the nearest of the truth's, in mm.
        to_prediction: The other way round.
        prediction_sizes: What each element of ``to_truth`` counts: 1 (voxel), mm (2D area) or mm2 (3D area).
        truth_sizes: The same for ``to_prediction``.
        definition: What a surface element is.
        worst_mm: What a distance to an empty mask counts: the diagonal of the array, which no distance in it reaches.
    """

    to_truth: np.ndarray
    to_prediction: np.ndarray
    prediction_sizes: np.ndarray
    truth_sizes: np.ndarray
    definition: str
    worst_mm: float

    def mean(self) -> float:
        """Mean over both directions pooled, in mm."""
        if not (len(self.to_truth) and len(self.to_prediction)):
            return self._without_surface(self.worst_mm)
        total = self.prediction_sizes.sum() + self.truth_sizes.sum()
        pooled = (self.to_truth * self.prediction_sizes).sum() + (self.to_prediction * self.truth_sizes).sum()
        return float(pooled / total)

    def hausdorff(self, percent: Real) -> float:
        """The larger of the two directed percentiles, in mm."""
        if not (len(self.to_truth) and len(self.to_prediction)):
            return self._without_surface(self.worst_mm)
        both = ((self.to_truth, self.prediction_sizes), (self.to_prediction, self.truth_sizes))
        if self.definition == "voxel":
            return float(max(np.percentile(distances, percent) for distances, _ in both))
        return max(_percentile_of_area(distances, sizes, percent) for distances, sizes in both)

    def share_within(self, tolerance_mm: Real) -> float:
        """Share of both surfaces that lies within the tolerance of the other one."""
        if not (len(self.to_truth) and len(self.to_prediction)):
            return self._without_surface(0.0)
        reach = tolerance_mm + _ROUNDING_MM
        near = self.prediction_sizes[self.to_truth <= reach].sum() + self.truth_sizes[self.to_prediction <= reach].sum()
        return float(near / (self.prediction_sizes.sum() + self.truth_sizes.sum()))

    def _without_surface(self, worst: float) -> float:
        return worst if len(self.to_truth) or len(self.to_prediction) else float("nan")


def surface_distances(
    prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, definition: str = "voxel"
) -> SurfaceDistances:
    """All distances between the surfaces of two masks, for scores of one's own; exact in float64.

    Args:
        prediction: Mask (i, j), (i, j, k), ...; what is not zero belongs to it. ``"area"`` knows 2 and 3 axes.
        truth: Mask of the same shape.
        spacing_mm: Voxel size per axis.
        definition: ``"voxel"`` or ``"area"``, see above.

    Returns:
        Both directions; empty arrays for an empty mask, and infinite distances to it.

    Raises:
        InputError: If the shapes differ, the spacing does not fit, or the definition is unknown or has no meaning for
            this number of axes.

    >>> surface_distances([[1, 0, 0, 0]], [[0, 0, 0, 1]], (1.0, 2.0)).to_truth
    array([6.])
    """
    return _checked_distances("surface_distances", prediction, truth, spacing_mm, definition)


def surface_distance(
    prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, definition: str = "voxel"
) -> float:
    """Symmetric mean surface distance in mm, both directions pooled (the S2S distance of Oktay et al., 2018).

    ``(sum of d(p, truth) + sum of d(t, prediction)) / (|surface of prediction| + |surface of truth|)``.

    Args:
        prediction, truth, spacing_mm, definition: As in `surface_distances`, with its errors.

    Returns:
        Millimetres, 0 at best. When one mask alone is empty the diagonal of the array, which no distance reaches;
        nan when both are.

    >>> surface_distance([[1, 0, 0, 0]], [[0, 0, 0, 1]], (1.0, 2.0))
    6.0
    """
    return _checked_distances("surface_distance", prediction, truth, spacing_mm, definition).mean()


def hausdorff(
    prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, percent: Real = 100.0, definition: str = "voxel"
) -> float:
    """Hausdorff distance in mm: the larger of the two directed percentiles of the surface distances.

    Args:
        prediction, truth, spacing_mm, definition: As in `surface_distances`, with its errors.
        percent: 100 is the classical (maximal) distance. Between two voxels the percentile is interpolated linearly;
            ``"area"`` takes the distance at which that share of the area is reached.

    Returns:
        Millimetres, 0 at best; empty masks as in `surface_distance`.

    Raises:
        InputError: If ``percent`` is not in 0..100.
    """
    if not 0 <= percent <= 100:
        raise InputError(f"hausdorff: percent must lie in 0..100, got {percent}.")
    return _checked_distances("hausdorff", prediction, truth, spacing_mm, definition).hausdorff(percent)


def hausdorff95(prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, definition: str = "voxel") -> float:
    """95 % Hausdorff distance in mm: the larger of the two directed 95th percentiles. See `hausdorff`.

    >>> hausdorff95([[1, 0, 0, 0]], [[0, 0, 0, 1]], (1.0, 2.0))
    6.0
    """
    return hausdorff(prediction, truth, spacing_mm, percent=95.0, definition=definition)


def surface_dice(
    prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, tolerance_mm: Real = 1.0, definition: str = "voxel"
) -> float:
    """Normalised surface Dice: the share of both surfaces that lies within a tolerance of the other one.

    Args:
        prediction, truth, spacing_mm, definition: As in `surface_distances`, with its errors.
        tolerance_mm: How far off is still right. Default 1 mm.

    Returns:
        Number in [0, 1]; 0 when one mask alone is empty, nan when both are.

    Raises:
        InputError: If the tolerance is negative.

    >>> surface_dice([[1, 1, 0, 0]], [[1, 0, 0, 0]], (1.0, 2.0), tolerance_mm=1.0)
    0.6666666666666666
    """
    check_tolerance("surface_dice", tolerance_mm)
    return _checked_distances("surface_dice", prediction, truth, spacing_mm, definition).share_within(tolerance_mm)


def distances_of_masks(
    a: np.ndarray, b: np.ndarray, spacing: np.ndarray, definition: str, whole: Sequence[int]
) -> SurfaceDistances:
    """`surface_distances` without its checks, for boolean arrays, which may be cut from a whole of a larger shape."""
    (surface_a, sizes_a), (surface_b, sizes_b) = (_surface(mask, spacing, definition) for mask in (a, b))
    points_a, points_b = np.argwhere(surface_a) * spacing, np.argwhere(surface_b) * spacing
    return SurfaceDistances(
        to_truth=_nearest(points_a, points_b, shared=surface_b[surface_a]),
        to_prediction=_nearest(points_b, points_a, shared=surface_a[surface_b]),
        prediction_sizes=sizes_a,
        truth_sizes=sizes_b,
        definition=definition,
        worst_mm=diagonal_mm(whole, spacing),
    )


def diagonal_mm(shape: Sequence[int], spacing: np.ndarray) -> float:
    """The diagonal of an array's box, voxel faces included: longer than any distance between two surfaces in it."""
    return float(np.linalg.norm(np.asarray(shape) * spacing))


def check_tolerance(who: str, tolerance_mm: Real) -> None:
    """Refuse a tolerance that is no distance."""
    if not tolerance_mm >= 0:
        raise InputError(f"{who}: tolerance_mm must be 0 or more, got {tolerance_mm}.")


def _checked_distances(
    who: str, prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, definition: str
) -> SurfaceDistances:
    a, b = as_masks(who, prediction, truth)
    spacing = as_spacing(who, spacing_mm, a.ndim)
    if definition not in DEFINITIONS:
        raise unknown_name("surface_distances", "definition", definition, list(DEFINITIONS))
    if definition == "area" and a.ndim not in (2, 3):
        raise InputError(f"surface_distances: definition='area' must have arrays of 2 or 3 axes, got {a.ndim}.")
    return distances_of_masks(a, b, spacing, definition, a.shape)


def _surface(mask: np.ndarray, spacing: np.ndarray, definition: str) -> tuple[np.ndarray, np.ndarray]:
    """Where surface elements are, on the grid of voxels or of cells, and their sizes in the order of that grid."""
    if definition == "voxel":
        surface = _border(mask)
        return surface, np.ones(np.count_nonzero(surface))
    codes = cell_codes(mask)
    measures = cell_measures(tuple(spacing))
    surface = (codes > 0) & (codes < len(measures) - 1)
    return surface, measures[codes[surface]]


def _border(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask with a face neighbour outside it; beyond the array is outside."""
    padded = np.pad(mask, 1)
    middle = (slice(1, -1),) * mask.ndim
    inner = mask.copy()
    for axis in range(mask.ndim):
        for shifted in (slice(None, -2), slice(2, None)):
            inner &= padded[(*middle[:axis], shifted, *middle[axis + 1 :])]
    return mask & ~inner


def _nearest(points: np.ndarray, others: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others; where they share a place it is 0 without a search."""
    distances = np.zeros(len(points))  # a tree of no points gives infinite distances
    if not shared.all():
        # Surfaces are thin: a tree over their points takes half the time of a distance transform of the box around
        # them, and its distances are exact in float64. Sliding midpoints suit a lattice better than medians.
        tree = KDTree(others, balanced_tree=False, compact_nodes=False)
        distances[~shared] = tree.query(points[~shared])[0]
    return distances


def _percentile_of_area(distances: np.ndarray, sizes: np.ndarray, percent: Real) -> float:
    """The distance at which this share of the area is reached, going from near to far."""
    order = np.argsort(distances)
    reached = np.cumsum(sizes[order]) / sizes.sum()
    place = min(int(np.searchsorted(reached, percent / 100)), len(order) - 1)
    return float(distances[order][place])
