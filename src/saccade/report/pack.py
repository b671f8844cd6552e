"""Volumes as text inside a page: 8 bits a voxel, differences of neighbours, deflate, base64."""

import base64
import zlib

import numpy as np
from jaxtyping import Float, Float64, UInt8

from saccade.report.resample import Shape, mean_to, shown_shape

LEVELS = 256
# In-plane size and grey levels, from the best to what is always small enough; a CT never gets below 256 pixels.
_CANDIDATES = ((512, 256), (384, 256), (320, 256), (256, 256), (256, 192), (256, 128), (256, 64), (256, 32), (256, 16))
_SLABS, _SLAB = 4, 6  # what the size is judged by: that many stacks of that many shown slices
# Steps in HU between grey levels: fine where soft tissues differ, coarse in lung, bone and metal.
_CT_STEPS = ((-1024, 16.0), (-200, 4.0), (300, 20.0), (1500, 83.0))
_CT_HIGHEST = 3071.0


def ct_levels(count: int = LEVELS) -> Float64[np.ndarray, "levels"]:
    """The values in HU of a CT's grey levels: 4 HU apart in soft tissue, 16 below, 20 to 83 in bone and metal."""
    starts = [start for start, _ in _CT_STEPS]
    fine = np.concatenate(
        [np.arange(start, end, step) for (start, step), end in zip(_CT_STEPS, [*starts[1:], _CT_HIGHEST], strict=True)]
    )
    return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, fine.size), fine)


def quantise(values: Float[np.ndarray, "i j k"], levels: Float64[np.ndarray, "levels"]) -> UInt8[np.ndarray, "i j k"]:
    """The index of the nearest level; values beyond the ends take the end."""
    result = np.empty(values.shape, np.uint8)
    for k in range(values.shape[2]):
        result[:, :, k] = np.rint(np.interp(values[:, :, k], levels, np.arange(levels.size)))
    return result


def pack(volume: UInt8[np.ndarray, "i j k"]) -> str:
    """Base64 of the deflated differences (modulo 256) of neighbours, i fastest: `unpack` in viewer.js undoes it."""
    flat = volume.transpose(2, 1, 0).ravel()
    steps = np.diff(flat, prepend=flat.dtype.type(0))
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return base64.b64encode(packer.compress(steps.tobytes()) + packer.flush()).decode("ascii")


def fit(array: np.ndarray, levels: Float64[np.ndarray, "levels"], most_bytes: float) -> tuple[Shape, np.ndarray]:
    """The finest shown grid, and the grey levels, with which a packed volume stays within ``most_bytes``.

    Judged by two dozen slices. Axes longer than 512 are always shortened; none gets shorter than 256 for space. Where
    that does not do, there are fewer grey levels, down to 16.

    Args:
        array: The scan, (i, j, k).
        levels: Its `LEVELS` grey levels.
        most_bytes: Of text in the page.
    """
    for largest, count in _CANDIDATES:
        i, j, k = array.shape
        shape = shown_shape((i, j, k), largest)
        kept = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, levels.size), levels)
        sample = _sample(array, shape)
        if len(pack(quantise(sample, kept))) * shape[2] / sample.shape[2] <= most_bytes:
            break
    return shape, kept


def _sample(array: np.ndarray, shape: Shape) -> Float[np.ndarray, "x y z"]:
    """Some slices of the volume at the shown size: stacks, since a mean along k has less noise than a slice."""
    if shape[2] <= _SLABS * _SLAB:
        return mean_to(array, shape)
    fine = array.shape[2] / shape[2]
    starts = np.linspace(0, shape[2] - _SLAB, _SLABS).round() * fine
    stacks = [array[:, :, int(start) : int(start) + max(round(_SLAB * fine), _SLAB)] for start in starts]
    return np.concatenate([mean_to(stack, (shape[0], shape[1], _SLAB)) for stack in stacks], axis=2)
