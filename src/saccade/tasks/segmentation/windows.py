"""A whole volume through a network that sees patches: overlapping windows, weighted by a Gaussian, blended."""

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Outputs = Sequence[Tensor]
Start = tuple[int, ...]
SIGMA = 1 / 8  # width of the Gaussian as a part of the patch, as nnU-Net has it
FLOOR = 1e-3  # no weight is zero, so that a voxel seen only by a window's corner still counts


def window_starts(shape: Sequence[int], patch: Sequence[int], overlap: float) -> list[Start]:
    """First voxels of evenly spread windows that cover a volume; neighbours share at least ``overlap`` of a patch."""
    per_axis = []
    for size, width in zip(shape, patch, strict=True):
        step = max(1, int(width * (1 - overlap)))
        count = max(1, -(-(size - width) // step) + 1)
        room = max(0, size - width)
        per_axis.append([round(room * n / max(1, count - 1)) for n in range(count)])
    return list(itertools.product(*per_axis))


def gaussian_weight(patch: Sequence[int]) -> Float[Tensor, "a b d"]:
    """Weight of a window's voxels: 1 in the middle, falling towards its border."""
    weight = torch.ones(())
    for width in patch:
        offset = torch.arange(width) - (width - 1) / 2
        axis = torch.exp(-0.5 * (offset / (SIGMA * width)) ** 2).clamp_min(FLOOR)
        weight = weight[..., None] * axis
    return weight.clamp_min(FLOOR)


@torch.inference_mode()
def apply_windows(
    function: Callable[[Float[Tensor, "n c a b d"]], Outputs],
    image: Float[Tensor, "c i j k"],
    patch: Sequence[int],
    *,
    overlap: float = 0.5,
    batch: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Float[Tensor, "m i j k"]]:
    """Blend what a function says of each window into maps of the whole volume.

    Args:
        function: Maps a batch of windows to a sequence of maps on the windows' grid, each (n, k, a, b, d).
        image: The volume; smaller than the patch is fine (its border is continued and cut off again).
        patch: Window size in voxels.
        overlap: Part of the patch shared by neighbours.
        batch: Windows given to the function at once.
        progress: Called with (windows done, windows in all).

    Returns:
        One map per output of the function, on the volume's grid.
    """
    shape = image.shape[1:]
    missing = [max(0, width - size) for width, size in zip(patch, shape, strict=True)]
    if any(missing):
        pads = [amount for m in reversed(missing) for amount in (m // 2, m - m // 2)]
        image = F.pad(image[None], pads, mode="replicate")[0]
    starts = window_starts(image.shape[1:], patch, overlap)
    weight = gaussian_weight(patch)
    total = torch.zeros(image.shape[1:])
    sums: list[Tensor] = []
    for first in range(0, len(starts), batch):
        places = [_box(start, patch) for start in starts[first : first + batch]]
        outputs = function(torch.stack([image[(slice(None), *place)] for place in places]))
        if not sums:
            sums = [torch.zeros(output.shape[1], *image.shape[1:]) for output in outputs]
        for item, place in enumerate(places):
            total[place] += weight
            for blended, output in zip(sums, outputs, strict=True):
                blended[(slice(None), *place)] += output[item].float() * weight
        if progress:
            progress(first + len(places), len(starts))
    inside = tuple(slice(m // 2, m // 2 + size) for m, size in zip(missing, shape, strict=True))
    return [(blended / total)[(slice(None), *inside)] for blended in sums]


def _box(start: Start, patch: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(s, s + width) for s, width in zip(start, patch, strict=True))
