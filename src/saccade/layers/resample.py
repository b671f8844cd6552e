"""Bringing maps to a finer grid, by interpolation or by a transposed convolution, always to a size asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import unknown_name
from saccade.layers.dimensions import CONV_TRANSPOSE, LINEAR_MODE, per_axis


@dataclass(frozen=True)
class Upsampling:
    """How a decoder comes to a finer grid.

    Args:
        kind: ``"linear"`` interpolation, or ``"transposed"`` convolution.
        align_corners: Whether interpolation maps corner voxels' centres onto each other (what PyTorch did before 0.4)
            or their outer edges (False, the default, and the one that keeps world positions).

    Raises:
        InputError: For a kind that is not known.
    """

    kind: str = "linear"
    align_corners: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "transposed"):
            raise unknown_name("Upsampling", "kind", self.kind, ["linear", "transposed"])


def resize(
    x: Float[Tensor, "b c *space"], size: Sequence[int], align_corners: bool = False
) -> Float[Tensor, "b c *space2"]:
    """Interpolate linearly onto a grid of another size; nothing happens when the size is already right."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode=LINEAR_MODE[x.ndim - 2], align_corners=align_corners)


def crop(x: Float[Tensor, "b c *space"], size: Sequence[int]) -> Float[Tensor, "b c *space2"]:
    """Cut off what lies beyond the size at the far end of each axis."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x


class LinearUpsample(nn.Module):
    """Interpolate to a grid finer by a whole factor, then cut to the size of the map that it will meet.

    Cutting after an exact factor (rather than stretching to the size) keeps every voxel over the ones it was pooled
    from, also where the size was not divisible.

    Args:
        factor: How many times finer, one number for each axis.
        align_corners: See `Upsampling`.
    """

    def __init__(self, factor: Sequence[int], *, align_corners: bool = False) -> None:
        super().__init__()
        self.factor, self.align_corners = tuple(factor), align_corners

    def forward(self, x: Float[Tensor, "b c *space"], size: Sequence[int]) -> Float[Tensor, "b c *space2"]:
        fine = [n * f for n, f in zip(x.shape[2:], self.factor, strict=True)]
        return crop(resize(x, fine, self.align_corners), size)


class TransposedUpsample(nn.Module):
    """Transposed convolution to a grid finer by a whole factor, then cut to the size of the map that it will meet.

    The kernel is twice as long as the step (4 for a step of 2, as published), one voxel less for an odd step, and 1
    along an axis that keeps its size.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        factor: How many times finer, one number or one for each axis.
        spatial_dims: 1, 2 or 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, factor: int | Sequence[int] = 2, spatial_dims: int = 3
    ) -> None:
        super().__init__()
        step = per_axis("TransposedUpsample", "factor", factor, spatial_dims)
        kernel = tuple(2 * s - s % 2 for s in step)
        self.conv = CONV_TRANSPOSE[spatial_dims](
            in_channels, out_channels, kernel, stride=step, padding=tuple(s // 2 for s in step)
        )

    def forward(self, x: Float[Tensor, "b c *space"], size: Sequence[int]) -> Float[Tensor, "b c2 *space2"]:
        return crop(self.conv(x), size)
