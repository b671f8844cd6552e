"""Positions for tokens, which have none of their own: sinusoidal and learned, along one to three axes.

Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import InputError, unknown_name
from saccade.layers.resample import resize

STYLES = ("paper", "tensor2tensor")


class SinusoidalPositions(nn.Module):
    """Add ``PE(pos, 2i) = sin(pos / base^(2i/d))``, ``PE(pos, 2i+1) = cos(pos / base^(2i/d))``.

    One module serves sequences, images and volumes: each axis takes an equal, even share d of the channels, the first
    axis the first ones; channels left over get nothing (both as in tensor2tensor's ``add_timing_signal_nd``).

    Args:
        style: ``paper`` (default), or ``tensor2tensor`` for the authors' code: all sines before all cosines, and
            d/2 - 1 in the exponent's denominator.
        base: Longest wavelength over 2 pi. Default 10000, as in the paper.

    Raises:
        InputError: For an unknown style or a base that is not above 0; when called, for fewer than two channels for
            each axis.

    >>> SinusoidalPositions()(torch.zeros(1, 2, 4))[0, 1]
    tensor([0.8415, 0.5403, 0.0100, 0.9999])
    """

    def __init__(self, *, style: str = "paper", base: int | float = 10000.0) -> None:
        super().__init__()
        if style not in STYLES:
            raise unknown_name("SinusoidalPositions", "style", style, list(STYLES))
        if base <= 0:
            raise InputError(f"SinusoidalPositions: base must be above 0, got {base}.")
        self.style, self.base = style, base

    def table(self, grid: Sequence[int], channels: int, device: torch.device | None = None) -> Float[Tensor, "*grid c"]:
        """What is added at every position of a grid."""
        half = channels // (2 * len(grid))
        parts = []
        for axis, length in enumerate(grid):
            signal = self._axis(length, half, device)
            around = [1] * (len(grid) - axis - 1)
            parts.append(signal.reshape(length, *around, 2 * half).expand(*grid, 2 * half))
        table = torch.cat(parts, -1)
        return F.pad(table, (0, channels - table.shape[-1]))

    def _axis(self, length: int, half: int, device: torch.device | None) -> Tensor:
        steps = torch.arange(half, device=device) / (half if self.style == "paper" else max(half - 1, 1))
        angles = torch.arange(length, device=device)[:, None] * self.base**-steps
        if self.style == "paper":
            return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], 1)

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        grid, channels = x.shape[1:-1], x.shape[-1]
        if channels < 2 * len(grid):
            raise InputError(
                f"SinusoidalPositions: tokens must have at least 2 channels for each axis ({2 * len(grid)}), got the "
                f"shape {tuple(x.shape)}."
            )
        return x + self.table(grid, channels, x.device).to(x.dtype)


class LearnedPositions(nn.Module):
    """Add a learned vector at every position of a grid; the paper found it as good as the sinusoids (table 3, row E).

    Args:
        channels: Channels of the tokens.
        grid: Largest size, one number for each of one to three axes.
        interpolate: Whether tokens on another grid get the learned vectors interpolated linearly to it, as vision
            transformers do at another resolution; otherwise (default) a smaller grid takes the first ones.

    Raises:
        InputError: For a grid of no or too many axes or numbers below 1; when called, for tokens of other channels or
            axes, or on a larger grid without ``interpolate``.

    >>> LearnedPositions(8, (4, 5))(torch.zeros(1, 3, 5, 8)).shape
    torch.Size([1, 3, 5, 8])
    """

    def __init__(self, channels: int, grid: Sequence[int], *, interpolate: bool = False) -> None:
        super().__init__()
        if not 1 <= len(grid) <= 3 or min(grid) < 1:
            raise InputError(f"LearnedPositions: grid must be one to three numbers of at least 1, got {tuple(grid)}.")
        self.table = nn.Parameter(torch.empty(*grid, channels))
        self.interpolate = interpolate
        # Small, so that positions start as a hint beside tokens of unit variance (the vision transformers' value).
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        *grid, channels = self.table.shape
        size = x.shape[1:-1]
        if len(size) != len(grid) or x.shape[-1] != channels:
            raise InputError(
                f"LearnedPositions: tokens must have {len(grid)} axes of positions, then {channels} channels, got the "
                f"shape {tuple(x.shape)}."
            )
        if self.interpolate:
            return x + resize(self.table.movedim(-1, 0)[None], size)[0].movedim(0, -1)
        if any(n > most for n, most in zip(size, grid, strict=True)):
            raise InputError(
                f"LearnedPositions: the grid must be at most {tuple(grid)}, got {tuple(size)}. "
                "Build it larger, or with interpolate=True."
            )
        return x + self.table[tuple(slice(n) for n in size)]
