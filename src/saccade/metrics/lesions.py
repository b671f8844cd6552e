"""Which lesions were found: connected components of the truth against those of the prediction.

A component is what hangs together over faces, edges and corners (8 neighbours in 2D, 26 in 3D). A predicted and a true
component belong together when their overlap, ``|both| / |either|`` (IoU), reaches a threshold; each is used in one pair
at most, and of all ways to pair them that with the largest sum of Dice is taken. Then losing a predicted component
never raises how many lesions are found nor the sum of their Dice (docs/metrics.md has the proof).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import center_of_mass, find_objects, label
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from saccade.errors import InputError
from saccade.metrics.inputs import Real, Spacing, as_masks, as_spacing
from saccade.metrics.overlap import voxel_ml

OVERLAP = 0.1  # what detection in 3D commonly asks: an IoU of 0.5 is out of reach for structures of a few voxels
_ROUNDING = 1e-9  # in voxels: 0.07 * 100 is 7.000000000000001
INSIDE = 0.5  # a predicted component that lies in lesions by this share is a fragment of them, not a false alarm


@dataclass(frozen=True)
class Lesion:
    """A connected component of the truth.

    Attributes:
        ml: Its volume; a pixel of an image counts as 1 mm thick.
        centre: Its centre of mass as a voxel index of the whole array.
        touches_border: It reaches the first or last voxel of an axis, so that part of it may lie outside the scan.
        dice: With the predicted component it is paired with; 0 when it was missed.
    """

    ml: float
    centre: tuple[float, ...]
    touches_border: bool
    dice: float

    @property
    def found(self) -> bool:
        """It is paired with a predicted component."""
        return self.dice > 0


@dataclass(frozen=True)
class LesionScores:
    """The lesions of one structure of one case.

    Attributes:
        lesions: The components of the truth.
        n_predicted: Components of the prediction.
        false_positives_ml: Volume of each predicted component that is a false alarm: it reaches the overlap with no
            lesion, and less than half of it lies in lesions.
    """

    lesions: tuple[Lesion, ...]
    n_predicted: int
    false_positives_ml: tuple[float, ...]

    @property
    def n_found(self) -> int:
        """Lesions that are paired with a predicted component."""
        return sum(lesion.found for lesion in self.lesions)


def score_lesions(
    prediction: ArrayLike, truth: ArrayLike, spacing_mm: Spacing, *, overlap: Real = OVERLAP
) -> LesionScores:
    """Pair the components of two masks.

    Args:
        prediction: Mask (i, j), (i, j, k), ...; what is not zero belongs to it.
        truth: Mask of the same shape.
        spacing_mm: Voxel size per axis.
        overlap: The IoU from which two components belong together; 0 asks for one common voxel.

    Returns:
        Lesions in the order of their first voxel. Either mask may be empty.

    Raises:
        InputError: If the shapes differ, the spacing does not fit or the overlap is not in 0..1.

    >>> found = score_lesions([[1, 1, 0, 0, 0, 1]], [[1, 0, 0, 1, 0, 0]], (1.0, 1.0))
    >>> [lesion.found for lesion in found.lesions], len(found.false_positives_ml)
    ([True, False], 1)
    """
    a, b = as_masks("score_lesions", prediction, truth)
    spacing = as_spacing("score_lesions", spacing_mm, a.ndim)
    check_overlap("score_lesions", overlap)
    box = _box(a | b)
    if box is None:
        return LesionScores((), 0, ())
    (parts_a, n_a), (parts_b, n_b) = (label(mask[box], np.ones((3,) * mask.ndim)) for mask in (a, b))
    sizes_a, sizes_b = np.bincount(parts_a.ravel(), minlength=n_a + 1), np.bincount(parts_b.ravel(), minlength=n_b + 1)
    of_a, of_b, shared = _shared(parts_a, parts_b, n_a)
    belong = shared + _ROUNDING >= overlap * (sizes_a[of_a] + sizes_b[of_b] - shared)
    inside = np.bincount(of_a, weights=shared, minlength=n_a + 1) >= INSIDE * sizes_a
    inside[of_a[belong]] = True
    dice = _pair(of_a[belong], of_b[belong], (2 * shared / (sizes_a[of_a] + sizes_b[of_b]))[belong], n_b)
    ml = voxel_ml(spacing)
    centres = center_of_mass(parts_b > 0, parts_b, range(1, n_b + 1)) if n_b else []
    return LesionScores(
        lesions=tuple(
            Lesion(
                ml=float(sizes_b[number]) * ml,
                centre=tuple(float(place + side.start) for place, side in zip(centre, box, strict=True)),
                touches_border=_touches_border(extent, box, b.shape),
                dice=float(dice[number]),
            )
            for number, (centre, extent) in enumerate(zip(centres, find_objects(parts_b), strict=True), start=1)
        ),
        n_predicted=int(n_a),
        false_positives_ml=tuple((sizes_a[1:][~inside[1:]] * ml).tolist()),
    )


def check_overlap(who: str, overlap: Real) -> None:
    """Refuse an overlap that no two components can have."""
    if not 0 <= overlap <= 1:
        raise InputError(f"{who}: overlap must lie in 0..1, got {overlap}.")


def _box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The box around what is set, None when nothing is."""
    found = find_objects(mask.view(np.uint8))
    return found[0] if found else None


def _shared(parts_a: np.ndarray, parts_b: np.ndarray, n_a: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of components with a voxel in common: number in a, number in b, voxels in common."""
    both = (parts_a > 0) & (parts_b > 0)
    codes, shared = np.unique(parts_b[both].astype(np.int64) * (n_a + 1) + parts_a[both], return_counts=True)
    return codes % (n_a + 1), codes // (n_a + 1), shared


def _pair(of_a: np.ndarray, of_b: np.ndarray, dice: np.ndarray, n_b: int) -> np.ndarray:
    """Dice of each component of b, by its number, in the pairing with the largest sum; 0 for those left over."""
    paired = np.zeros(n_b + 1)
    if not len(dice):
        return paired
    # Each group of components that hang together through overlaps is solved by itself: one table of all with all
    # would not fit in memory for a noisy prediction of many thousand components.
    rows, columns = np.unique(of_b, return_inverse=True)[1], np.unique(of_a, return_inverse=True)[1]
    nodes = int(rows.max() + columns.max()) + 2
    links = coo_matrix((np.ones(len(dice)), (rows, columns + rows.max() + 1)), shape=(nodes, nodes))
    group = connected_components(links, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    for edges in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        lesions, i = np.unique(of_b[edges], return_inverse=True)
        found, j = np.unique(of_a[edges], return_inverse=True)
        table = np.zeros((len(lesions), len(found)))
        table[i, j] = dice[edges]
        best = linear_sum_assignment(table, maximize=True)
        paired[lesions[best[0]]] = table[best]
    return paired


def _touches_border(extent: tuple[slice, ...], box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """An axis of one voxel is that of an image, which has no border there."""
    return any(
        whole > 1 and (side.start + outer.start == 0 or side.stop + outer.start == whole)
        for side, outer, whole in zip(extent, box, shape, strict=True)
    )
