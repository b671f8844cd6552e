"""From an image to what a network sees: channels, size, comparable values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.data.classification.read import Image, with_channels
from saccade.errors import InputError

MINIMUM_STD = 1e-6  # a constant image has no spread to divide by


@dataclass(frozen=True)
class Values:
    """How values are made comparable; see `tasks.classification.config.Intensity` for the kinds."""

    kind: str
    low: float | None = None
    high: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, image: Float[Tensor, "c *space"]) -> Float[Tensor, "c *space"]:
        if self.low is not None or self.high is not None:
            image = image.clamp(self.low, self.high)
        if self.kind == "standardise":
            shape = (-1, *[1] * (image.ndim - 1))
            return (image - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)
        if self.kind == "z_score":
            return (image - image.mean()) / image.std().clamp_min(MINIMUM_STD)
        low, high = image.min(), image.max()
        return (image - low) / (high - low).clamp_min(MINIMUM_STD)


def prepare(
    image: Image, *, channels: int, size: Sequence[int], fit: str, values: Values, where: str
) -> Float[Tensor, "c *space"]:
    """An image as the network takes it.

    Args:
        image: As it was read.
        channels: Wanted; grey is repeated, colours become luminance.
        size: Wanted.
        fit: ``stretch`` each axis, ``pad`` what keeps its proportions, or ``crop`` it in the middle.
        values: Preparation of the values, before what is padded (with their lowest) is added.
        where: For errors.

    Raises:
        InputError: If the image has another number of axes or channels.
    """
    if len(image.space) != len(size):
        raise InputError(f"{where}: must have {len(size)} axes, has {len(image.space)}.")
    array = torch.from_numpy(np.ascontiguousarray(np.moveaxis(with_channels(image, channels, where), -1, 0)))
    inner = fitted_size(image, size, fit)
    resized = values(resize(array, inner))
    return _centred(resized, tuple(size))


def fitted_size(image: Image, size: Sequence[int], fit: str) -> tuple[int, ...]:
    """The size that an image is resized to before it is padded or cropped, its proportions those in space."""
    if fit == "stretch":
        return tuple(size)
    spacing = image.spacing_mm or (1.0,) * len(image.space)
    extent = [n * step for n, step in zip(image.space, spacing, strict=True)]
    ratios = [wanted / length for wanted, length in zip(size, extent, strict=True)]
    scale = min(ratios) if fit == "pad" else max(ratios)
    return tuple(max(1, round(length * scale)) for length in extent)


def resize(image: Float[Tensor, "c *space"], size: Sequence[int]) -> Float[Tensor, "c *resized"]:
    """Another number of pixels; what is shrunk is averaged, so that fine structure does not turn into a pattern."""
    if tuple(image.shape[1:]) == tuple(size):
        return image
    if image.ndim == 3:
        return F.interpolate(image[None], tuple(size), mode="bilinear", antialias=True, align_corners=False)[0]
    i, j, k = (min(n, wanted) for n, wanted in zip(image.shape[1:], size, strict=True))
    averaged = F.adaptive_avg_pool3d(image[None], (i, j, k))
    return F.interpolate(averaged, tuple(size), mode="trilinear", align_corners=False)[0]


def _centred(image: Float[Tensor, "c *space"], size: tuple[int, ...]) -> Float[Tensor, "c *centred"]:
    """The middle of an image, with its lowest value around it where it is too small."""
    for axis, wanted in enumerate(size, start=1):
        have = image.shape[axis]
        if have > wanted:
            image = image.narrow(axis, (have - wanted) // 2, wanted)
    before = [(wanted - have) // 2 for wanted, have in zip(size, image.shape[1:], strict=True)]
    after = [wanted - have - b for wanted, have, b in zip(size, image.shape[1:], before, strict=True)]
    pads = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    return F.pad(image, pads, value=float(image.min())) if any(pads) else image
