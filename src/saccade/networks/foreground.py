"""What of an image is worth cutting into patches: the body, the lungs in it, or all."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.errors import unknown_name

BINS = 256
Image = Float[Tensor, "b *space"]


def otsu_threshold(image: Float[Tensor, "b *space"]) -> Float[Tensor, "b"]:
    """The value that parts the dark of each image from the bright: the variance between both is largest.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076, on 256 bins; where all thresholds of a gap do equally well, its middle.
    """
    flat = image.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    width = ((high - low) / BINS).clamp_min(torch.finfo(flat.dtype).tiny)
    bins = ((flat - low) / width).long().clamp(0, BINS - 1)
    counts = torch.zeros(flat.shape[0], BINS, dtype=torch.float64, device=flat.device)
    counts = counts.scatter_add(1, bins, torch.ones_like(flat, dtype=torch.float64)) / flat.shape[1]
    below = counts.cumsum(1)
    moment = (counts * torch.arange(BINS, device=flat.device)).cumsum(1)
    between = (moment[:, -1:] * below - moment) ** 2 / (below * (1 - below)).clamp_min(1e-12)
    best = (between >= between.amax(1, keepdim=True) * (1 - 1e-9)).double()
    place = (best * torch.arange(1, BINS + 1, device=flat.device)).sum(1) / best.sum(1)
    return low[:, 0] + place.to(flat.dtype) * width[:, 0]


def _all(image: Image) -> Bool[Tensor, "b *space"]:
    return torch.ones_like(image, dtype=torch.bool)


def _bright(image: Image) -> Bool[Tensor, "b *space"]:
    return image > otsu_threshold(image).reshape(-1, *[1] * (image.ndim - 1))


def _enclosed(image: Image) -> Bool[Tensor, "b *space"]:
    """Dark, with bright on all sides along the first two axes: the lungs in an axial slice, whose ends may be open."""
    bright = _bright(image)
    inside = ~bright
    for axis in range(1, min(image.ndim, 3)):
        before = bright.int().cumsum(axis) > 0
        after = bright.flip(axis).int().cumsum(axis).flip(axis) > 0
        inside = inside & before & after
    return inside


FOREGROUNDS: dict[str, Callable[[Image], Bool[Tensor, "b *space"]]] = {
    "all": _all,
    "bright": _bright,
    "enclosed": _enclosed,
}


def foreground(image: Float[Tensor, "b *space"], kind: str) -> Bool[Tensor, "b *space"]:
    """Where an image has what is looked for.

    Args:
        image: In any unit: what is dark and what is bright is found anew for each.
        kind: ``all``; ``bright`` (a body in air); ``enclosed`` (dark with bright on all sides: lungs in a chest).

    Raises:
        InputError: For another kind.
    """
    if kind not in FOREGROUNDS:
        raise unknown_name("foreground", "kind", kind, list(FOREGROUNDS))
    return FOREGROUNDS[kind](image)
