"""Images as sets of patches: where they are cut, and how what is known of each is painted back.

Singla et al., 2018, https://arxiv.org/abs/1806.11217.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from saccade.errors import InputError
from saccade.layers.dimensions import AVERAGE_POOL


@dataclass(frozen=True)
class PatchGrid:
    """Cells that tile an image, and a patch around each: the cell with half of ``overlap`` more on every side.

    So neighbouring patches share ``overlap`` voxels, yet each voxel lies in one cell alone, and a value of each patch
    can be painted back without mixing. The cells reach equally far over both ends of the image; there patches repeat
    its outermost values. The paper's: patches of 32 voxels around cells of 20.

    Args:
        patch_size: Voxels of a patch along each axis.
        overlap: Voxels shared with the next patch.

    Raises:
        InputError: If the patch is empty or lies wholly in its neighbours.

    >>> grid = PatchGrid(32, 12)
    >>> grid.step, grid.cells((64, 48))
    (20, (4, 3))
    """

    patch_size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.patch_size:
            raise InputError(
                f"PatchGrid: overlap must be from 0 to less than patch_size ({self.patch_size}), got {self.overlap}."
            )

    @property
    def step(self) -> int:
        """Voxels of a cell along each axis."""
        return self.patch_size - self.overlap

    def cells(self, space: Sequence[int]) -> tuple[int, ...]:
        """How many along each axis cover an image of this size.

        Raises:
            InputError: If a patch is larger than the image.
        """
        if min(space) < self.patch_size:
            size = " x ".join(map(str, space))
            raise InputError(
                f"PatchGrid: patch_size must be at most {min(space)} for images of {size}, got {self.patch_size}."
            )
        return tuple(-(-n // self.step) for n in space)

    def views(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b ..."]:
        """All patches (b, *cells, c, *patch), as a view of the image continued at its border."""
        dims = x.ndim - 2
        before = self.overlap // 2
        x = F.pad(x, self._pads(x.shape[2:], before, self.overlap - before), mode="replicate")
        for axis in range(2, 2 + dims):
            x = x.unfold(axis, self.patch_size, self.step)
        return x.movedim(1, 1 + dims)

    def share(self, mask: Bool[Tensor, "b *space"]) -> Float[Tensor, "b *cells"]:
        """Of each cell the part that lies in a mask; beyond the image there is none."""
        dims = mask.ndim - 1
        padded = F.pad(mask[:, None].float(), self._pads(mask.shape[1:], 0, 0))
        found: Tensor = AVERAGE_POOL[dims](self.step)(padded)[:, 0]
        return found

    def paint(self, values: Float[Tensor, "b *cells"], space: Sequence[int]) -> Float[Tensor, "b *space"]:
        """An image with each cell's value in all its voxels."""
        for axis, (size, count) in enumerate(zip(space, values.shape[1:], strict=True), start=1):
            values = values.repeat_interleave(self.step, axis)
            values = values.narrow(axis, (count * self.step - size) // 2, size)
        return values

    def _pads(self, space: Sequence[int], before: int, after: int) -> list[int]:
        """For `F.pad`, last axis first: what the cells reach over the image's ends, and more."""
        pads: list[int] = []
        for size, count in zip(reversed(space), reversed(self.cells(space)), strict=True):
            excess = count * self.step - size
            pads += [excess // 2 + before, excess - excess // 2 + after]
        return pads


def pad_sets(
    sets: Sequence[Shaped[Tensor, "_ ..."]],
) -> tuple[Shaped[Tensor, "b n ..."], Bool[Tensor, "b n"]]:
    """Sets of different numbers of patches as one batch, with the mask that `Subject2Vec` takes.

    Args:
        sets: Of each subject its patches, (n, c, *space), all of one size.

    Returns:
        The patches with zeros where a set has fewer than the largest, and which of them exist.

    Raises:
        InputError: If there is no set, one is empty, or patches differ in size.

    >>> patches, mask = pad_sets([torch.ones(2, 1, 4, 4), torch.ones(3, 1, 4, 4)])
    >>> patches.shape, mask.tolist()
    (torch.Size([2, 3, 1, 4, 4]), [[True, True, False], [True, True, True]])
    """
    if not sets or any(len(one) == 0 for one in sets):
        raise InputError("pad_sets: every subject must have at least one patch, got one without.")
    for first, second in pairwise(sets):
        if first.shape[1:] != second.shape[1:]:
            shapes = f"{tuple(first.shape[1:])} and {tuple(second.shape[1:])}"
            raise InputError(f"pad_sets: all patches must have the same channels and size, got {shapes}.")
    counts = torch.tensor([len(one) for one in sets], device=sets[0].device)
    mask = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
    return pad_sequence(list(sets), batch_first=True), mask
