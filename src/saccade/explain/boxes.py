"""From a map to a box: weakly supervised localisation."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import ndimage
from torch import Tensor

from saccade.errors import InputError
from saccade.metrics.inputs import Real

Box = tuple[tuple[int, int], ...]
Extent = tuple[tuple[Real, Real], ...]  # a box that need not end between voxels


def box_of_map(map_: Float[Tensor | np.ndarray, "*space"], *, threshold: float = 0.2) -> Box | None:
    """The box around the largest connected part of a map above a share of its maximum.

    Zhou et al., 2016, https://arxiv.org/abs/1512.04150, section 3.2: 20 % of the maximum.

    Args:
        map_: One item's map on the input's grid (boxes of coarse maps are coarse).
        threshold: Share of the maximum, 0 up to 1.

    Returns:
        (first, behind the last) voxel along each axis; None where nothing in the map is positive.

    Raises:
        InputError: If the threshold is not in 0..1.

    >>> box_of_map(np.array([0.0, 0.1, 0.5, 1.0, 0.3, 0.0, 0.4]))
    ((2, 5),)
    """
    if not 0 <= threshold < 1:
        raise InputError(f"box_of_map: threshold must be from 0 up to 1, got {threshold}.")
    values = np.nan_to_num(as_array(map_))
    highest = values.max(initial=0.0)
    if highest <= 0:
        return None
    parts, _ = ndimage.label(values > threshold * highest)
    sizes = np.bincount(parts.ravel())[1:]
    return tuple((int(part.start), int(part.stop)) for part in ndimage.find_objects(parts)[int(sizes.argmax())])


def box_of_mask(mask: Shaped[Tensor | np.ndarray, "*space"]) -> Box | None:
    """The box around everything in a mask; None for an empty one.

    >>> box_of_mask(np.array([[0, 1, 1], [0, 0, 0]]))
    ((0, 1), (1, 3))
    """
    places = ndimage.find_objects(as_array(mask).astype(bool).astype(np.uint8))
    return tuple((int(part.start), int(part.stop)) for part in places[0]) if places else None


def box_overlap(one: Box | None, other: Box | None) -> float:
    """Intersection over union of two boxes, 0..1; no box overlaps nothing.

    An object counts as localised from 0.5 on (ILSVRC).

    Raises:
        InputError: If they have different numbers of axes.

    >>> round(box_overlap(((0, 4), (0, 4)), ((2, 6), (0, 4))), 3)
    0.333
    """
    if one is None or other is None:
        return 0.0
    if len(one) != len(other):
        raise InputError(f"box_overlap: boxes must have as many axes, got {len(one)} and {len(other)}.")
    shared = [max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in zip(one, other, strict=True)]
    inside = float(np.prod(shared))
    volumes = [float(np.prod([stop - start for start, stop in box])) for box in (one, other)]
    return inside / (sum(volumes) - inside)


def as_array(values: Tensor | np.ndarray) -> np.ndarray:
    """On the processor, as numpy."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
