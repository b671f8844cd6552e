"""Voxel grids: what makes an affine usable, and the step between the two patient frames (RAS and LPS)."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from saccade.errors import InputError

# DICOM and ITK count millimetres to the left and to the back; NIfTI to the right and to the front.
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def checked_affine(affine: Any, who: Any) -> Float64[np.ndarray, "4 4"]:
    """The affine (voxel index -> RAS world, mm) as float64, once it is sure that it can be inverted.

    Args:
        affine: Anything that numpy reads as a 4x4 matrix.
        who: What the error message begins with, mostly a path.

    Raises:
        InputError: If the matrix is not 4x4, holds NaN or infinity, has a zero column, or maps the volume flat.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise InputError(f"{who}: the affine must be 4x4, got shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise InputError(f"{who}: the affine must be finite, got NaN or infinity in it.")
    if not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise InputError(f"{who}: the last row of the affine must be 0 0 0 1, got {matrix[3].tolist()}.")
    spacing_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    if not spacing_mm.all():
        shown = ", ".join(f"{value:g}" for value in spacing_mm)
        raise InputError(f"{who}: the voxel spacing must be above zero on every axis, got ({shown}) mm.")
    # The determinant of the unit directions is their volume: free of units, 0 when two axes coincide.
    if abs(np.linalg.det(matrix[:3, :3] / spacing_mm)) < 1e-6:
        raise InputError(f"{who}: the three voxel axes must not lie in one plane, got an affine of determinant 0.")
    return matrix


def checked_shape(shape: tuple[int, ...], who: Any) -> tuple[int, ...]:
    """The shape as (i, j, k) or (i, j, k, c): missing axes are added, trailing axes of 1 dropped.

    Raises:
        InputError: If an axis is empty or more than four axes are left.
    """
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    sizes += [1] * (3 - len(sizes))
    if len(sizes) > 4:
        raise InputError(f"{who}: a volume has 3 axes and at most one for channels, got shape {tuple(shape)}.")
    if min(sizes) < 1:
        raise InputError(f"{who}: every axis must hold at least one voxel, got shape {tuple(shape)}.")
    return tuple(sizes)


def one_line(error: BaseException) -> str:
    """The text of a library's error without its line breaks."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
