"""Where a prepared image lies in the user's world: boxes from one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from saccade.data.classification.read import Image, is_picture, read_image
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError


@dataclass(frozen=True, eq=False)
class Frame:
    """The way from an image, as its file has it, to the grid that it was stretched to.

    Attributes:
        shape: Of the image's array before, (rows, columns) or (i, j, k).
        size: Of the prepared one.
        affine: Of a volume, 4x4, voxel -> world mm, of the array before; None for pictures.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    affine: np.ndarray | None = None

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Columns and rows of a picture; None for volumes."""
        return (self.shape[1], self.shape[0]) if self.affine is None else None

    def to_prepared(self, boxes: Float[np.ndarray, "n box"]) -> Float[np.ndarray, "n box"]:
        """Boxes in the user's units as boxes of the prepared image, its last axis first.

        Of a volume that lies obliquely in the world, the smallest box along the voxels around the given one.
        """
        if self.affine is not None:
            boxes = _hull(boxes, np.linalg.inv(self.affine), 0.0, 0.5)
            boxes = boxes.reshape(-1, 2, len(self.shape))[..., ::-1].reshape(boxes.shape)
        return boxes * self._scale

    def to_user(self, boxes: Float[np.ndarray, "n box"]) -> Float[np.ndarray, "n box"]:
        """Boxes of the prepared image, its last axis first, in the user's units."""
        boxes = boxes / self._scale
        if self.affine is None:
            return boxes
        boxes = boxes.reshape(-1, 2, len(self.shape))[..., ::-1].reshape(boxes.shape)
        return _hull(boxes, self.affine, -0.5, 0.0)

    @property
    def _scale(self) -> np.ndarray:
        factors = [after / before for before, after in zip(self.shape, self.size, strict=True)]
        return np.array(factors[::-1] * 2)


def read_framed(source: Path | Volume | np.ndarray, size: Sequence[int]) -> tuple[Image, Frame, str]:
    """An image, its frame, and what errors are to call it.

    Args:
        source: A file, a volume, or the array of a picture, (rows, columns) or (rows, columns, c).
        size: That it will be stretched to.

    Raises:
        InputError: If it cannot be read, or is a volume where a picture is wanted or the other way round.
    """
    if isinstance(source, np.ndarray):
        where, image, affine = "array", _picture(source, size), None
    elif isinstance(source, Path) and is_picture(source):
        where, image, affine = str(source), read_image(source), None
    else:
        where = str(source) if isinstance(source, Path) else "volume"
        volume = to_canonical(read_volume(source) if isinstance(source, Path) else source)
        array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
        image, affine = Image(array, volume.spacing_mm), volume.affine
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{where}: values must be finite numbers, found NaN or infinity.")
    if len(image.space) != len(size):
        kinds = {2: "a picture", 3: "a volume"}
        raise InputError(f"{where}: must be {kinds[len(size)]}, is {kinds[len(image.space)]}.")
    return image, Frame(image.space, tuple(size), affine), where


def _picture(array: np.ndarray, size: Sequence[int]) -> Image:
    if len(size) != 2 or array.ndim not in (2, 3):
        wanted = "a picture, (rows, columns) or (rows, columns, c)" if len(size) == 2 else "a Volume, which has a place"
        raise InputError(f"predict: must be {wanted}, got an array of shape {array.shape}.")
    return Image(array if array.ndim == 3 else array[..., None], None)


def _hull(boxes: np.ndarray, affine: np.ndarray, before: float, after: float) -> np.ndarray:
    """The smallest boxes around the corners of boxes behind an affine; numbers are added before and after it."""
    dims = len(affine) - 1
    ends = boxes.reshape(-1, 2, dims) + before
    which = np.array(list(product((0, 1), repeat=dims)))
    corners = np.stack([ends[:, which[:, axis], axis] for axis in range(dims)], -1)  # (n, 2^d, d)
    moved = corners @ affine[:dims, :dims].T + affine[:dims, dims] + after
    return np.concatenate([moved.min(1), moved.max(1)], 1)
