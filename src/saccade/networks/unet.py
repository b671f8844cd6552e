"""U-Net for signals, images and volumes, with or without deep supervision: the control of Attention U-Net.

Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597; Cicek et al., 2016, https://arxiv.org/abs/1606.06650.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.convolution import DoubleConv, kaiming_initialise_
from saccade.layers.dimensions import CONV, MAX_POOL, check_spatial_dims, per_axis
from saccade.layers.norm import Norm
from saccade.layers.resample import LinearUpsample, TransposedUpsample, Upsampling

Gate = Callable[[int, Tensor, Tensor], Tensor]
Pooling = int | Sequence[int | Sequence[int]]


class UNet(nn.Module):
    """One score per class and voxel, from an encoder and a decoder joined by skip connections.

    Each level is two ``relu(norm(conv(x)))``; between levels maximum pooling down and interpolation or transposed
    convolution up; the decoder sees the skip and the coarser map side by side. Any input size is taken: pooling keeps
    an incomplete last window, and the decoder cuts to the skip's size.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each level from finest to coarsest. The default is the paper's feature_scale 4.
        pooling: Factor between levels: one number, or for each of the ``len(channels) - 1`` steps a number or one for
            each axis, as ``((2, 2, 1), (2, 2, 2), ...)``. Kernels are 3 along an axis, but 1 down to the level where
            that axis is first pooled, as published for (2, 2, 1) throughout.
        deep_supervision: Whether all levels' class maps are brought to the input's size and mixed into the one result
            (the published form), or the finest level alone gives it.
        norm: As `saccade.layers.make_norm` takes it: ``"batch"``, ``"instance"``, a factory, or None.
        upsampling: ``"linear"``, ``"transposed"`` or an `Upsampling`. Class maps are always interpolated.

    Raises:
        InputError: For fewer than two levels, a number below 1, or an unknown name.

    Differs from the first U-Net: padded convolutions, normalisation, any number of dimensions.

    >>> UNet(1, 4, channels=(4, 8, 16))(torch.randn(1, 1, 13, 11, 7)).shape
    torch.Size([1, 4, 13, 11, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        pooling: Pooling = 2,
        deep_supervision: bool = True,
        norm: Norm = "batch",
        upsampling: str | Upsampling = "linear",
    ) -> None:
        super().__init__()
        check_spatial_dims("UNet", spatial_dims)
        for name, numbers in [("in_channels", [in_channels]), ("out_channels", [out_channels]), ("channels", channels)]:
            if any(n < 1 for n in numbers):
                raise InputError(f"UNet: {name} must be at least 1, got {', '.join(map(str, numbers))}.")
        if len(channels) < 2:
            raise InputError(f"UNet: channels must name at least 2 levels, got {len(channels)}.")
        up = Upsampling(upsampling) if isinstance(upsampling, str) else upsampling
        steps = pooling_steps(pooling, len(channels) - 1, spatial_dims)
        kernels = _kernel_sizes(steps)

        def double(into: int, out: int, level: int) -> DoubleConv:
            return DoubleConv(into, out, spatial_dims=spatial_dims, kernel_size=kernels[level], norm=norm)

        depth, widths = len(steps), list(channels)
        self.encoder = nn.ModuleList(double(w, widths[i], i) for i, w in enumerate([in_channels, *widths[: depth - 1]]))
        self.pools = nn.ModuleList(MAX_POOL[spatial_dims](step, ceil_mode=True) for step in steps)
        self.bottom = double(widths[-2], widths[-1], depth)
        self.decoder = nn.ModuleList()
        for level, step in enumerate(steps):
            low, here = widths[level + 1], widths[level]
            if up.kind == "transposed":
                rise: nn.Module = TransposedUpsample(low, here, factor=step, spatial_dims=spatial_dims)
                low = here
            else:
                rise = LinearUpsample(step, align_corners=up.align_corners)
            self.decoder.append(DecoderLevel(rise, double(low + here, here, level)))
        if deep_supervision:
            self.head: nn.Module = DeepSupervision(widths[:-1], out_channels, steps, align_corners=up.align_corners)
        else:
            self.head = FinestHead(widths[0], out_channels, spatial_dims)
        kaiming_initialise_(self)

    def encode(self, x: Float[Tensor, "b c *space"]) -> tuple[list[Tensor], Tensor]:
        """The map that each level hands to the decoder, finest first, and the one at the bottom."""
        skips = []
        for level, pool in zip(self.encoder, self.pools, strict=True):
            skips.append(level(x))
            x = pool(skips[-1])
        return skips, self.bottom(x)

    def decode(self, skips: Sequence[Tensor], bottom: Tensor, gate: Gate | None = None) -> list[Tensor]:
        """The decoder's map of each level, finest first; ``gate(level, skip, low)`` may change a skip on its way."""
        outputs, low = [], bottom
        for level in reversed(range(len(skips))):
            skip = skips[level] if gate is None else gate(level, skips[level], low)
            low = self.decoder[level](skip, low)
            outputs.append(low)
        return outputs[::-1]

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes *space"]:
        return self.head(self.decode(*self.encode(x)))


class DecoderLevel(nn.Module):
    """Bring the coarser map to the skip's grid, put it behind the skip, convolve twice."""

    def __init__(self, up: nn.Module, conv: nn.Module) -> None:
        super().__init__()
        self.up, self.conv = up, conv

    def forward(
        self, skip: Float[Tensor, "b c *space"], low: Float[Tensor, "b c2 *coarse"]
    ) -> Float[Tensor, "b c3 *space"]:
        return self.conv(torch.cat([skip, self.up(low, skip.shape[2:])], 1))


class FinestHead(nn.Module):
    """Class scores from the finest decoder level alone."""

    def __init__(self, in_channels: int, out_channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.classify = CONV[spatial_dims](in_channels, out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        return self.classify(levels[0])


class DeepSupervision(nn.Module):
    """Class scores from every decoder level, interpolated to the finest grid and mixed by a 1x1 convolution.

    Args:
        channels: Width of each decoder level, finest first.
        out_channels: Classes.
        steps: Pooling factors between the levels, one tuple of numbers for each step.
        align_corners: See `saccade.layers.Upsampling`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        out_channels: int,
        steps: Sequence[Sequence[int]],
        *,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        conv = CONV[len(steps[0])]
        factors = [[prod(axis) for axis in zip(*steps[:level], strict=True)] for level in range(1, len(channels))]
        self.classify = nn.ModuleList(conv(width, out_channels, 1) for width in channels)
        self.rise = nn.ModuleList(LinearUpsample(factor, align_corners=align_corners) for factor in factors)
        self.mix = conv(len(channels) * out_channels, out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        # Classes are far fewer than channels: classify first, interpolate after.
        scores = [classify(x) for classify, x in zip(self.classify, levels, strict=True)]
        size = scores[0].shape[2:]
        return self.mix(torch.cat([scores[0], *(up(s, size) for up, s in zip(self.rise, scores[1:], strict=True))], 1))


def pooling_steps(pooling: Pooling, steps: int, spatial_dims: int) -> list[tuple[int, ...]]:
    """Pooling factors written out: for each step between levels one number for each axis.

    Raises:
        InputError: If there are more or fewer entries than steps, or an entry does not fit the axes.
    """
    each = [pooling] * steps if isinstance(pooling, int) else list(pooling)
    if len(each) != steps:
        raise InputError(
            f"UNet: pooling must be one number or have one entry for each of the {steps} steps between levels, "
            f"got {len(each)}: {pooling}."
        )
    return [per_axis("UNet", "pooling", step, spatial_dims) for step in each]


def _kernel_sizes(steps: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Of each level and, last, of the bottom: 1 along an axis until the level that pools it."""
    reach = [[max(axis) for axis in zip(*steps[: level + 1], strict=True)] for level in range(len(steps))]
    kernels = [tuple(3 if factor > 1 else 1 for factor in level) for level in reach]
    return [*kernels, kernels[-1]]
