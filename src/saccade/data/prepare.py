"""From a scan to what a network sees, and back: canonical axes, common spacing, comparable values."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Num
from nibabel.orientations import apply_orientation, io_orientation
from torch import Tensor
from torch.nn import functional as F

from saccade.data.orient import to_canonical
from saccade.data.size import check_memory
from saccade.data.volume import Volume
from saccade.errors import InputError

COARSEST = 100  # times the wanted spacing: thick slices are 20 times the wanted one, wrong headers 1000 times
MINIMUM_STD = 1e-6  # a constant image has no spread to divide by


@dataclass(frozen=True)
class Grid:
    """Where a prepared volume came from: enough to put a result back."""

    source: Volume
    canonical_shape: tuple[int, ...]


def prepare_image(
    volume: Volume, *, spacing_mm: tuple[float, ...] | None, normalise: "Normalise"
) -> tuple[Float[Tensor, "c i j k"], Grid]:
    """Bring a scan to RAS axis order, the wanted voxel size (mm) and prepared values.

    Returns:
        The image, float32, channels first, and what `scan_view` needs to go back.
    """
    canonical = to_canonical(volume)
    grid, shape = Grid(volume, canonical.shape), resampled_shape(canonical, spacing_mm)
    image = _channels_first(canonical.array)
    del canonical  # each copy goes as soon as the next is made
    image = resample(image, shape, "trilinear")
    return normalise(image), grid


def prepared_grid(volume: Volume, spacing_mm: tuple[float, ...] | None) -> tuple[tuple[int, ...], Grid]:
    """The shape that `prepare_image` would give, and its grid; no voxel is touched."""
    canonical = to_canonical(volume.like(np.broadcast_to(np.uint8(0), volume.shape)))
    return resampled_shape(canonical, spacing_mm), Grid(volume, canonical.shape)


def _channels_first(array: np.ndarray) -> Float[Tensor, "c i j k"]:
    array = np.asarray(array, dtype=np.float32)
    return torch.from_numpy(array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0).copy())


def prepare_labels(volume: Volume, shape: tuple[int, ...], classes: list[int]) -> Num[Tensor, "i j k"]:
    """Bring a label map to the grid of its prepared image, as class indices (uint8)."""
    values = to_canonical(volume).array
    table = np.zeros(max(int(values.max(initial=0)), *classes) + 1, dtype=np.uint8)
    table[classes] = np.arange(len(classes))  # values that are no class are background
    indices = torch.from_numpy(table[values])
    return resample_labels(indices, shape, len(classes))


def scan_view(array: np.ndarray, grid: Grid) -> np.ndarray:
    """An array on the scan's own grid, seen in canonical axis order: writing to it writes there."""
    return apply_orientation(array, io_orientation(grid.source.affine))


def resampled_shape(volume: Volume, spacing_mm: tuple[float, ...] | None) -> tuple[int, ...]:
    """Voxels along each axis so that the extent stays and the spacing comes as near as it can to the wanted one.

    Raises:
        InputError: If that would be more voxels than this machine can hold, or out of next to none.
    """
    if spacing_mm is None:
        return tuple(volume.shape)
    sizes = list(zip(volume.shape, volume.spacing_mm, spacing_mm, strict=True))
    given, wanted = (" x ".join(f"{size[n]:.4g}" for size in sizes) for n in (1, 2))
    who = f"{volume.source or 'Volume'}: its voxels of {given} mm"
    if any(size > 1 and have > COARSEST * want for size, have, want in sizes):
        raise InputError(
            f"{who} must be at most {COARSEST} times the wanted {wanted} mm. Is the spacing in its header right?"
        )
    shape = tuple(max(1, round(size * have / want)) for size, have, want in sizes)
    check_memory(4 * volume.channels * math.prod(shape), f"{who}, resampled to {wanted} mm, take")
    return shape


def resample(values: Num[Tensor, "c i j k"], shape: tuple[int, ...], mode: str) -> Num[Tensor, "c i2 j2 k2"]:
    """Resize by interpolation between voxel centres; the outer faces of the volume stay where they are."""
    if tuple(values.shape[1:]) == tuple(shape):
        return values
    settings = {} if mode.startswith("nearest") else {"align_corners": False}
    return F.interpolate(values[None], size=shape, mode=mode, **settings)[0]


def resample_labels(indices: Num[Tensor, "i j k"], shape: tuple[int, ...], classes: int) -> Num[Tensor, "i2 j2 k2"]:
    """Resize a label map: each voxel takes the class of the largest interpolated share (ties: the lower class)."""
    if tuple(indices.shape) == tuple(shape):
        return indices
    best = torch.zeros(shape)
    label = torch.zeros(shape, dtype=indices.dtype)
    for value in range(classes):  # one class at a time: never classes x volume in memory
        mask = indices == value
        if not mask.any():
            continue
        share = resample(mask[None].float(), shape, "trilinear")[0]
        better = share > best
        best[better], label[better] = share[better], value
    return label


@dataclass(frozen=True)
class Normalise:
    """Prepared values from raw ones; see `tasks.segmentation.config.Intensity` for the kinds."""

    kind: str
    low: float | None = None
    high: float | None = None
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, image: Float[Tensor, "c i j k"]) -> Float[Tensor, "c i j k"]:
        if self.kind == "ct_window":
            # in place behind the first step, which makes a copy: a large scan is held once, not three times
            return image.clamp(self.low, self.high).sub_(self.mean).div_(self.std)
        flat = image.flatten(1)
        column = (-1,) + (1,) * (image.ndim - 1)
        if self.kind == "z_score":
            spread = flat.std(1, correction=0).clamp_min(MINIMUM_STD)
            return (image - flat.mean(1).reshape(column)).div_(spread.reshape(column))
        low, high = flat.amin(1), flat.amax(1)
        return (image - low.reshape(column)).div_((high - low).clamp_min(MINIMUM_STD).reshape(column)).mul_(255)


def check_channels(volume: Volume, channels: int, where: str) -> None:
    """Refuse a scan with another number of channels than the network takes."""
    if volume.channels != channels:
        raise InputError(f"{where}: must have {channels} channel(s), got {volume.channels}.")
