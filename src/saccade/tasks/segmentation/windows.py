"""A whole volume through a network that sees patches: overlapping windows, weighted by a Gaussian, blended."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import RunError
from saccade.tasks.segmentation.tiling import Index, Place, Tiling

Outputs = Sequence[Tensor]
Function = Callable[[Float[Tensor, "n c a b d"]], Outputs]
SIGMA = 1 / 8  # width of the Gaussian as a part of the patch, as nnU-Net has it
FLOOR = 1e-3  # no weight is zero, so that a voxel seen only by a window's corner still counts


def gaussian_weight(patch: Sequence[int]) -> Float[Tensor, "a b d"]:
    """Weight of a window's voxels: 1 in the middle, falling towards its border."""
    weight = torch.ones(())
    for width in patch:
        offset = torch.arange(width) - (width - 1) / 2
        axis = torch.exp(-0.5 * (offset / (SIGMA * width)) ** 2).clamp_min(FLOOR)
        weight = weight[..., None] * axis
    return weight.clamp_min(FLOOR)


@torch.inference_mode()
def blend_windows(
    function: Function,
    image: Float[Tensor, "c i j k"],
    tiling: Tiling,
    *,
    batch: int = 1,
    sums: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Place, list[Tensor]]]:
    """Blend what a function says of each window, and give each piece of the volume away as soon as it is finished.

    Args:
        function: Maps a batch of windows to a sequence of maps on the windows' grid, each (n, k, a, b, d).
        image: The volume; smaller than the patch is fine (its border is continued and cut off again).
        tiling: Windows and pieces, for the volume's shape.
        batch: Windows given to the function at once.
        sums: Numbers in which the sums of open pieces are kept; float16 halves their memory and costs 3 digits.
        progress: Called with (windows done, windows in all).

    Yields:
        (voxels of the volume, one blended map (k, a, b, d) per output of the function): every voxel once, and along
        any axis in order.

    Raises:
        RunError: If half-precision sums overflow.
    """
    shape = image.shape[1:]
    missing = [width - size for width, size in zip(tiling.shape, shape, strict=True)]
    if any(missing):
        pads = [amount for m in reversed(missing) for amount in (m // 2, m - m // 2)]
        image = F.pad(image[None], pads, mode="replicate")[0]
    weight = gaussian_weight(tiling.patch)
    open_: dict[Index, _Piece] = {}
    windows = tiling.windows()
    for first in range(0, len(windows), batch):
        group = windows[first : first + batch]
        outputs = function(torch.stack([image[(slice(None), *tiling.place(window))] for window in group]))
        for item, window in enumerate(group):
            for index, in_piece, in_window in tiling.touched(window):
                if index not in open_:
                    extent = [part.stop - part.start for part in tiling.box(index)]
                    open_[index] = _Piece(extent, [output.shape[1] for output in outputs], sums)
                seen = [output[item][(slice(None), *in_window)] for output in outputs]
                open_[index].add(seen, weight[in_window], in_piece)
            for index in tiling.finished(window):
                place, inside = _cut(tiling.box(index), missing, shape)
                piece = open_.pop(index)
                if all(part.stop > part.start for part in place):
                    yield place, [blended[(slice(None), *inside)] for blended in piece.blended()]
                del piece
        # The next windows go through the network without what it said of these.
        del outputs
        if progress:
            progress(first + len(group), len(windows))


def apply_windows(
    function: Function,
    image: Float[Tensor, "c i j k"],
    patch: Sequence[int],
    *,
    overlap: float = 0.5,
    batch: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Float[Tensor, "m i j k"]]:
    """All that `blend_windows` gives, put together: one map of the whole volume per output of the function.

    This holds every channel of every voxel; `SegmentationPredictor` does not.

    Args:
        function: As in `blend_windows`.
        image: The volume.
        patch: Window size in voxels.
        overlap: Part of the patch shared by neighbours.
        batch: Windows given to the function at once.
        progress: Called with (windows done, windows in all).
    """
    whole: list[Tensor] = []
    tiling = Tiling(image.shape[1:], patch, overlap)
    with torch.inference_mode():
        for place, maps in blend_windows(function, image, tiling, batch=batch, progress=progress):
            if not whole:
                whole = [torch.empty(map_.shape[0], *image.shape[1:]) for map_ in maps]
            for target, map_ in zip(whole, maps, strict=True):
                target[(slice(None), *place)] = map_
    return whole


class _Piece:
    """Sums of a piece that is not finished yet."""

    def __init__(self, extent: list[int], channels: list[int], sums: torch.dtype) -> None:
        self.total = torch.zeros(extent)
        self.sums = [torch.zeros(count, *extent, dtype=sums) for count in channels]

    def add(self, parts: list[Tensor], weight: Tensor, place: Place) -> None:
        self.total[place] += weight
        for sum_, part in zip(self.sums, parts, strict=True):
            sum_[(slice(None), *place)] += part.float() * weight

    def blended(self) -> list[Tensor]:
        result = [sum_.float().div_(self.total) for sum_ in self.sums]
        if self.sums[0].dtype == torch.float16 and not all(map_.isfinite().all() for map_ in result):
            raise RunError("predict: a score is too large for half-precision sums. Allow more memory.")
        return result


def _cut(box: Place, missing: Sequence[int], shape: Sequence[int]) -> tuple[Place, Place]:
    """A box of the continued volume as voxels of the volume itself, and these as voxels of the box."""
    place = []
    for part, extra, size in zip(box, missing, shape, strict=True):
        place.append(slice(max(0, part.start - extra // 2), min(size, part.stop - extra // 2)))
    inside = tuple(
        slice(cut.start + extra // 2 - part.start, cut.stop + extra // 2 - part.start)
        for cut, part, extra in zip(place, box, missing, strict=True)
    )
    return tuple(place), inside
