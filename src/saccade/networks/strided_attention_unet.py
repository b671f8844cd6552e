"""The network that MONAI calls AttentionUnet: a U-Net of strided convolutions with gates on the decoder's own grid.

Another network than Attention U-Net of Oktay et al. (see `saccade.networks.AttentionUNet`), though it cites them.
Source: monai/networks/nets/attentionunet.py of Project MONAI, Apache-2.0; rewritten here from its behaviour.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.same_grid_gate import SameGridGate
from saccade.errors import InputError
from saccade.layers.convolution import DoubleConv
from saccade.layers.dimensions import BATCH_NORM, CONV, CONV_TRANSPOSE, INSTANCE_NORM, check_spatial_dims, per_axis
from saccade.layers.norm import NormFactory
from saccade.layers.resample import crop


class StridedAttentionUNet(nn.Module):
    """One score per class and voxel; every skip is gated by the up-sampled decoder map of the same grid.

    Down: the first of two convolutions has the stride. Up: transposed convolution, batch norm, ReLU. Merge: the gated
    skip and the decoder's map side by side through one convolution, instance norm and PReLU. Any input size is taken.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each level from finest to coarsest, at least two.
        strides: Factor of each of the ``len(channels) - 1`` steps, one number or one for each axis.
        kernel_size: Odd; of the encoder's convolutions.
        up_kernel_size: Odd; of the transposed convolutions.
        dropout: Probability, behind each normalisation of the encoder and of the merges.

    Raises:
        InputError: If the numbers of channels and strides do not fit, or a kernel is even.

    >>> StridedAttentionUNet(1, 3, spatial_dims=2, channels=(4, 8), strides=(2,))(torch.randn(2, 1, 9, 7)).shape
    torch.Size([2, 3, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        strides: Sequence[int | Sequence[int]] = (2, 2, 2, 2),
        kernel_size: int | Sequence[int] = 3,
        up_kernel_size: int | Sequence[int] = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        who = "StridedAttentionUNet"
        check_spatial_dims(who, spatial_dims)
        if len(channels) < 2 or len(strides) != len(channels) - 1:
            raise InputError(
                f"{who}: channels must be at least 2 and strides one fewer, got {len(channels)} and {len(strides)}."
            )
        kernel = _odd(who, "kernel_size", kernel_size, spatial_dims)
        up_kernel = _odd(who, "up_kernel_size", up_kernel_size, spatial_dims)
        steps = [per_axis(who, "strides", stride, spatial_dims) for stride in (1, *strides)]
        norm = _norm_then_dropout(spatial_dims, dropout)
        self.encoder = nn.ModuleList(
            DoubleConv(into, out, spatial_dims=spatial_dims, kernel_size=kernel, stride=stride, norm=norm)
            for into, out, stride in zip([in_channels, *channels], channels, steps, strict=False)
        )
        self.decoder = nn.ModuleList(
            GatedMerge(
                UpConv(low, here, spatial_dims=spatial_dims, kernel_size=up_kernel, stride=step),
                SameGridGate(here, here, spatial_dims=spatial_dims),
                dropout=dropout,
            )
            for here, low, step in zip(channels, channels[1:], steps[1:], strict=False)
        )
        self.head = CONV[spatial_dims](channels[0], out_channels, 1)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes *space"]:
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        for level, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = level(skip, x)
        return self.head(x)


class UpConv(nn.Module):
    """``relu(norm(conv_transpose(x)))`` onto a grid finer by the stride.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        spatial_dims: 1, 2 or 3.
        kernel_size: Odd, one number or one for each axis.
        stride: How many times finer.
        dropout: Probability, between normalisation and ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kernel = _odd("UpConv", "kernel_size", kernel_size, spatial_dims)
        step = per_axis("UpConv", "stride", stride, spatial_dims)
        self.conv = CONV_TRANSPOSE[spatial_dims](
            in_channels,
            out_channels,
            kernel,
            stride=step,
            padding=tuple(k // 2 for k in kernel),
            output_padding=tuple(s - 1 for s in step),
        )
        self.norm = _norm_then_dropout(spatial_dims, dropout)(out_channels)
        self.activation = nn.ReLU()

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        return self.activation(self.norm(self.conv(x)))


class GatedMerge(nn.Module):
    """Up-sample the coarser map, gate the skip by it, merge both.

    Args:
        up: Brings the coarser map to the skip's channels and grid.
        gate: Takes the skip and the up-sampled map, both of the same channels.
        dropout: Probability, behind the merge's normalisation.
    """

    def __init__(self, up: UpConv, gate: SameGridGate, *, dropout: float = 0.0) -> None:
        super().__init__()
        spatial_dims, channels = up.conv.weight.ndim - 2, up.conv.out_channels
        self.up, self.gate = up, gate
        self.conv = CONV[spatial_dims](2 * channels, channels, 3, padding=1)
        self.norm = nn.Sequential(INSTANCE_NORM[spatial_dims](channels), nn.Dropout(dropout))
        self.activation = nn.PReLU()

    def forward(
        self, skip: Float[Tensor, "b c *space"], low: Float[Tensor, "b c2 *coarse"]
    ) -> Float[Tensor, "b c *space"]:
        low = crop(self.up(low), skip.shape[2:])
        return self.activation(self.norm(self.conv(torch.cat([self.gate(skip, low), low], 1))))


def _norm_then_dropout(spatial_dims: int, dropout: float) -> NormFactory:
    return lambda channels: nn.Sequential(BATCH_NORM[spatial_dims](channels), nn.Dropout(dropout))


def _odd(who: str, name: str, kernel_size: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    kernel = per_axis(who, name, kernel_size, spatial_dims)
    if any(k % 2 == 0 for k in kernel):
        raise InputError(f"{who}: {name} must be odd, got {kernel_size}.")
    return kernel
