"""The two plain U-Nets of a course's third homework (Vanderbilt CS 8395, 2020), layer for layer.

After Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597 and Cicek et al., 2016,
https://arxiv.org/abs/1606.06650.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.convolution import DoubleConv
from saccade.layers.resample import crop


class HomeworkUNet2D(nn.Module):
    """A padded 2D U-Net of 64 to 1024 channels without normalisation; 31,030,658 parameters by default.

    Two 3x3 convolutions with ReLU a level, maximum pooling by 2, transposed convolutions of kernel and step 2 that
    halve the channels, skips in front of them, a 1x1 convolution at the end. Any input size is taken: pooling keeps an
    incomplete last window and the decoder cuts to the skip's size.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        width: Channels of the finest level; each level below has twice as many. Default 64, as given out.

    >>> HomeworkUNet2D(width=2)(torch.randn(1, 1, 19, 23)).shape
    torch.Size([1, 2, 19, 23])
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 2, *, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(
            DoubleConv(into, out, spatial_dims=2, norm=None)
            for into, out in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        pairs = list(pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(low, here, 2, stride=2) for here, low in pairs)
        self.decoder = nn.ModuleList(DoubleConv(2 * here, here, spatial_dims=2, norm=None) for here, _ in pairs)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes h w"]:
        skips: list[Tensor] = []
        for level in self.encoder:
            skips.append(level(self.pool(skips[-1]) if skips else x))
        x = skips.pop()
        for up, conv, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips), strict=True):
            x = conv(torch.cat([skip, crop(up(x), skip.shape[2:])], 1))
        return self.head(x)


class HomeworkUNet3D(nn.Module):
    """A 3D U-Net of three poolings without biases; 19,066,592 parameters by default.

    Down: per level two 3x3x3 convolutions, the second doubles the channels (32-64, 64-128, ...). Up: a transposed
    convolution of kernel and step 2 that keeps the channels, then two transposed convolutions of kernel 3 and step 1
    over it and the skip. A ReLU follows every layer. Any input size is taken, as by `HomeworkUNet2D`.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        width: Channels of the first convolution. Default 32, as given out.
        final_relu: Whether the class scores pass a ReLU too. True (default) is faithful; no score is then negative.
        batch_norm: Whether the encoder's convolutions are followed by batch norm, an option of the printed class.
            False (default) as the course used it.

    Differs from Cicek et al.: no batch norm, no biases.

    >>> HomeworkUNet3D(1, 3, width=2)(torch.randn(1, 1, 9, 10, 11)).shape
    torch.Size([1, 3, 9, 10, 11])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 14,
        *,
        width: int = 32,
        final_relu: bool = True,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(into, half, batch_norm), _conv(half, full, batch_norm))
            for into, half, full in zip([in_channels, *widths[1:]], widths, widths[1:], strict=False)
        )
        self.pool = nn.MaxPool3d(2, ceil_mode=True)
        pairs = list(pairwise(widths[1:]))
        self.up = nn.ModuleList(_deconv(low, low, 2) for _, low in pairs)
        self.decoder = nn.ModuleList(
            nn.Sequential(_deconv(low + here, here, 3), _deconv(here, here, 3)) for here, low in pairs
        )
        self.head = nn.ConvTranspose3d(widths[1], out_channels, 1, bias=False)
        self.final_relu = final_relu

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b classes d h w"]:
        skips: list[Tensor] = []
        for level in self.encoder:
            skips.append(level(self.pool(skips[-1]) if skips else x))
        x = skips.pop()
        for up, conv, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips), strict=True):
            x = conv(torch.cat([crop(up(x), skip.shape[2:]), skip], 1))
        x = self.head(x)
        return torch.relu(x) if self.final_relu else x


def _conv(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Sequential:
    conv = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, *([nn.BatchNorm3d(out_channels)] if batch_norm else []), nn.ReLU())


def _deconv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    step, padding = (2, 0) if kernel == 2 else (1, 1)
    conv = nn.ConvTranspose3d(in_channels, out_channels, kernel, stride=step, padding=padding, bias=False)
    return nn.Sequential(conv, nn.ReLU())
