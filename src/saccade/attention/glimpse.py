"""A glimpse: the surroundings of one place, sharp in the middle and coarser further out, as a retina sees them.

Mnih et al., 2014, https://arxiv.org/abs/1406.6247, section 3.1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import check_spatial_dims, per_axis

PADDINGS = ("zeros", "border")


class GlimpseSensor(nn.Module):
    """Patches around a location, each ``factor`` times as wide as the one before, all averaged down to one size.

    A location is in [-1, 1] along each axis, x first: (-1, ..., -1) is the outer corner of the first pixel, 0 the
    middle of the image. A patch of side n is centred there: in whole pixels (default, as published: a patch of odd side
    on the pixel that holds the location, one of even side on the corner before it), or exactly, between pixels.

    Args:
        size: Pixels of every patch along each axis after averaging, the paper's g_w.
        scales: Number of patches, the paper's k.
        factor: How much wider each patch is than the one before. Default 2, as in the paper.
        spatial_dims: 1, 2 or 3.
        differentiable: Whether patches are interpolated linearly at the exact location, so that gradients reach it;
            the paper's locations learn from rewards alone.
        padding: What a patch sees beyond the border: ``zeros`` (default, as in the published re-implementation) or
            ``border`` (the outermost value). The paper does not say. A location may lie outside the image altogether.

    Raises:
        InputError: For numbers below 1, an unknown padding, or a factor whose patches cannot be averaged to ``size``.

    >>> GlimpseSensor(8, scales=3)(torch.randn(2, 1, 60, 60), torch.zeros(2, 2)).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        scales: int = 1,
        factor: int | float = 2,
        spatial_dims: int = 2,
        differentiable: bool = False,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        check_spatial_dims("GlimpseSensor", spatial_dims)
        if padding not in PADDINGS:
            raise unknown_name("GlimpseSensor", "padding", padding, list(PADDINGS))
        if scales < 1:
            raise InputError(f"GlimpseSensor: scales must be at least 1, got {scales}.")
        self.size = per_axis("GlimpseSensor", "size", size, spatial_dims)
        self.differentiable, self.padding = differentiable, padding
        self.sides = [self.size]
        for _ in range(1, scales):
            self.sides.append(tuple(int(factor * side) for side in self.sides[-1]))
        for sides in self.sides:
            if any(n < g or n // (n // g) != g for n, g in zip(sides, self.size, strict=True)):
                raise InputError(
                    f"GlimpseSensor: factor must give patches that average to {self.size}, got {factor}: a patch of "
                    f"{sides}. Take a whole number."
                )
        self.map = Tap("glimpse")

    def forward(self, x: Float[Tensor, "b c *space"], location: Float[Tensor, "b d"]) -> Float[Tensor, "b kc *size"]:
        """All patches, the finest first, side by side as channels."""
        location = self.map(location, grid=x.shape[2:])
        if self.differentiable:
            patches = [self.patch(x, location, sides) for sides in self.sides]
        else:  # on whole pixels the finer patches are parts of the widest, which is cut once
            widest = self.patch(x, location, self.sides[-1])
            patches = [_middle(widest, sides) for sides in self.sides]
        return torch.cat([average(patch, self.size) for patch in patches], 1)

    def patch(
        self, x: Float[Tensor, "b c *space"], location: Float[Tensor, "b d"], sides: Sequence[int]
    ) -> Float[Tensor, "b c *sides"]:
        """One patch of these sides around the location, not averaged."""
        if location.shape[1] != x.ndim - 2 or len(self.size) != x.ndim - 2:
            raise InputError(
                f"GlimpseSensor: x must have {len(self.size)} spatial axes and a location as many numbers, got the "
                f"shapes {tuple(x.shape)} and {tuple(location.shape)}."
            )
        # Whole pixels need more digits than half precision has.
        location = location.float() if location.dtype in (torch.bfloat16, torch.float16) else location
        for axis, side in enumerate(sides, start=2):
            start = self._start(location[:, x.ndim - 1 - axis], x.shape[axis], side)
            if self.differentiable:
                whole = start.detach().floor()
                x = self._cut(x, axis, whole.long(), side + 1)
                part = (start - whole).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
                x = torch.lerp(x.narrow(axis, 0, side), x.narrow(axis, 1, side), part)
            else:
                x = self._cut(x, axis, start.long(), side)
        return x

    def boxes(
        self, location: Float[Tensor, "b d"], grid: Sequence[int]
    ) -> list[tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]]:
        """Where on an image of this size each patch begins and ends, in pixels along its axes, the finest patch first.

        Args:
            location: As for `forward`.
            grid: Size of the image; patches may reach beyond it.
        """
        along = list(zip(location.flip(1).unbind(1), grid, strict=True))
        found = []
        for sides in self.sides:
            first = torch.stack([self._start(*place, side) for place, side in zip(along, sides, strict=True)], 1)
            found.append((first, first + first.new_tensor(sides)))
        return found

    def _start(self, along: Float[Tensor, "b"], pixels: int, side: int) -> Float[Tensor, "b"]:
        """Where a patch of this side begins along an axis of so many pixels."""
        # The order of these products is the published one: near a pixel's edge the last bit decides.
        centre = 0.5 * ((along + 1.0) * pixels)
        return centre - side / 2 if self.differentiable else centre.detach().floor() - side // 2

    def _cut(self, x: Tensor, axis: int, start: Int[Tensor, "b"], count: int) -> Tensor:
        """``count`` pixels along an axis from another start for every item."""
        n = x.shape[axis]
        index = start[:, None] + torch.arange(count, device=x.device)
        shape = [len(x), *[1] * (axis - 1), count, *[1] * (x.ndim - axis - 1)]
        wide = [-1 if i == axis else m for i, m in enumerate(x.shape)]
        y = x.gather(axis, index.clamp(0, n - 1).reshape(shape).expand(wide))
        if self.padding == "border":
            return y
        return y.masked_fill(((index < 0) | (index >= n)).reshape(shape), 0.0)


def _middle(x: Float[Tensor, "b c *space"], sides: Sequence[int]) -> Float[Tensor, "b c *sides"]:
    """The patch of these sides in the middle of a wider one, where `GlimpseSensor.patch` would cut it."""
    for axis, side in enumerate(sides, start=2):
        x = x.narrow(axis, x.shape[axis] // 2 - side // 2, side)
    return x


def average(x: Float[Tensor, "b c *space"], size: Sequence[int]) -> Float[Tensor, "b c *size"]:
    """Means over equal blocks; pixels that make no whole block at the far end are left out."""
    for axis, g in enumerate(size, start=2):
        block = x.shape[axis] // g
        x = x.narrow(axis, 0, g * block).unflatten(axis, (g, block)).mean(axis + 1)
    return x
