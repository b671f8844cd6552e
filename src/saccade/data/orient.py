"""The nearest right-anterior-superior axis order of a volume, and the way back: no voxel value is ever computed."""

from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from saccade.data.nifti import for_array, with_affine
from saccade.data.volume import Volume
from saccade.errors import InputError

_RAS = np.array([[0, 1], [1, 1], [2, 1]])


def to_canonical(volume: Volume) -> Volume:
    """The same volume with its axes permuted and flipped so that i, j, k run most nearly right, anterior, superior.

    Every voxel keeps its value and its place in the world. A volume that already lies so comes back as it is.
    """
    orientation = io_orientation(volume.affine)
    if np.array_equal(orientation, _RAS):
        return volume
    affine = volume.affine @ inv_ornt_aff(orientation, volume.shape)
    array = np.ascontiguousarray(apply_orientation(volume.array, orientation))
    header = volume.header
    if header is not None:
        header = _turned(for_array(header, array), orientation, affine)
    return Volume(array, affine, header, volume.source)


def from_canonical(array: np.ndarray, like: Volume) -> np.ndarray:
    """An array on the grid of ``to_canonical(like)``, with or without channels behind, in the axis order of ``like``.

    Raises:
        InputError: If its spatial shape is not the one that ``to_canonical(like)`` has.
    """
    orientation = io_orientation(like.affine)
    # row n of an orientation says where axis n goes
    expected = tuple(like.shape[axis] for axis in np.argsort(orientation[:, 0]))
    if array.shape[:3] != expected:
        raise InputError(f"from_canonical: the array must have the spatial shape {expected}, got {array.shape[:3]}.")
    return np.ascontiguousarray(apply_orientation(array, ornt_transform(_RAS, orientation)))


def _turned(header: Any, orientation: np.ndarray, affine: np.ndarray) -> Any:
    """The header with its frequency, phase and slice axes renamed along with the axes themselves."""
    axes = [None if axis is None else int(orientation[axis, 0]) for axis in header.get_dim_info()]
    header.set_dim_info(*axes)
    return with_affine(header, affine)
