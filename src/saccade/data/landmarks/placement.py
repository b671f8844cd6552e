"""Points from the user's coordinates to a network's grid and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from nibabel.orientations import inv_ornt_aff, io_orientation

from saccade.data.classification.prepare import fitted_size
from saccade.data.classification.read import Image, is_picture
from saccade.data.volume import read_grid


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a prepared image lie.

    Positions on the grid count from the edge of the first pixel, whose middle is 0.5 along every axis (rows, columns;
    of volumes right, front, up): there resizing is a plain scaling.

    Attributes:
        matrix: (d, d), user = matrix @ position on the image's own grid + offset.
        offset: (d,).
        scale: (d,), position on the network's grid = scale * own position + shift.
        shift: (d,).
        physical: Whether the user's coordinates are mm.
    """

    matrix: Float[np.ndarray, "d d"]
    offset: Float[np.ndarray, "d"]
    scale: Float[np.ndarray, "d"]
    shift: Float[np.ndarray, "d"]
    physical: bool

    def to_grid(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Positions on the network's grid."""
        own = np.linalg.solve(self.matrix, (points - self.offset).T).T
        found: np.ndarray = own * self.scale + self.shift
        return found

    def to_user(self, positions: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Coordinates as the user has them."""
        found: np.ndarray = (positions - self.shift) / self.scale @ self.matrix.T + self.offset
        return found

    def measured(self, positions: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """In what distances between landmarks are learned: mm, or pixels of the network's grid where pictures of
        several sizes have been brought to one."""
        return self.to_user(positions) if self.physical else positions


def affine_of(source: Path) -> Float[np.ndarray, "4 4"] | None:
    """From voxels of a file's volume, its axes along right, front, up, to world mm; None for a picture.

    Raises:
        InputError: If the file cannot be read.
    """
    if is_picture(source):
        return None
    shape, affine = read_grid(source)
    found: np.ndarray = affine @ inv_ornt_aff(io_orientation(affine), shape)
    return found


def place(image: Image, affine: Float[np.ndarray, "4 4"] | None, size: Sequence[int], fit: str) -> Placement:
    """The placement of an image that `saccade.data.classification.prepare` brings to a network's grid.

    Args:
        image: As it was read.
        affine: Of a volume, as `affine_of` gives it; None for pictures and arrays, whose coordinates are pixels (of an
            array with three axes in their order).
        size: Of the network's grid.
        fit: How the image comes to it.
    """
    dims = len(size)
    matrix, offset = np.eye(dims), np.zeros(dims)
    if dims == 2:
        matrix = matrix[::-1].copy()  # x is along columns, the second axis
    if affine is not None:
        matrix = affine[:dims, :dims]
        offset = affine[:dims, 3] - matrix @ np.full(dims, 0.5)
    physical = affine is not None
    inner = np.array(fitted_size(image, size, fit), float)
    # `prepare` puts whole pixels before the image, or cuts them off
    gap = np.array(size) - inner
    shift = np.where(gap >= 0, gap // 2, -((-gap) // 2))
    return Placement(matrix, offset, inner / np.array(image.space, float), shift, physical)
