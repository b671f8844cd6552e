"""From a scan's grid to the coarser one of a page: means of what a coarse voxel covers, labels of its centre."""

import numpy as np
from jaxtyping import Float32, Float64, Shaped

_SLAB = 32  # slices worked on at once, so that no second volume of floats stands in memory

Shape = tuple[int, int, int]


def shown_shape(shape: Shape, largest: int) -> Shape:
    """The shape with no axis longer than ``largest``."""
    i, j, k = (min(size, largest) for size in shape)
    return i, j, k


def shown_affine(affine: Float64[np.ndarray, "4 4"], shape: Shape, shown: Shape) -> Float64[np.ndarray, "4 4"]:
    """The affine of the coarse grid, which fills the same box: voxel edges meet voxel edges."""
    factor = np.array(shape) / np.array(shown)
    step = np.diag([*factor, 1.0])
    step[:3, 3] = (factor - 1) / 2  # centre of the first coarse voxel, in fine voxels
    return np.asarray(affine @ step)


def mean_to(array: Shaped[np.ndarray, "i j k"], shape: Shape) -> Float32[np.ndarray, "x y z"]:
    """The mean over the part of the fine grid that each coarse voxel covers; no axis may grow.

    Infinities become the largest number, NaN the smallest value of the volume.
    """
    lowest = _lowest(array)
    slabs = []
    for start in range(0, array.shape[2], _SLAB):
        slab = np.nan_to_num(array[:, :, start : start + _SLAB].astype(np.float32), nan=lowest)
        slabs.append(_mean_along(_mean_along(slab, shape[0], 0), shape[1], 1))
    return np.ascontiguousarray(_mean_along(np.concatenate(slabs, axis=2), shape[2], 2))


def nearest_to(array: Shaped[np.ndarray, "i j k"], shape: Shape) -> Shaped[np.ndarray, "x y z"]:
    """The value at the centre of each coarse voxel."""
    picks = [
        ((np.arange(size) + 0.5) * old / size).astype(np.intp) for size, old in zip(shape, array.shape, strict=True)
    ]
    return array[np.ix_(*picks)]


def _lowest(array: np.ndarray) -> float:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return float(finite.min()) if finite.size else 0.0


def _mean_along(array: np.ndarray, size: int, axis: int) -> np.ndarray:
    if array.shape[axis] == size:
        return array
    weights = _overlaps(array.shape[axis], size)
    return np.moveaxis(np.tensordot(weights, array, axes=(1, axis)), 0, axis)


def _overlaps(old: int, new: int) -> Float32[np.ndarray, "new old"]:
    """What part of each coarse voxel (row) each fine voxel (column) fills."""
    edges = np.linspace(0, old, new + 1)
    low, high = edges[:-1, None], edges[1:, None]
    fine = np.arange(old)
    shared = np.clip(np.minimum(high, fine + 1) - np.maximum(low, fine), 0, None)
    return (shared / (high - low)).astype(np.float32)
