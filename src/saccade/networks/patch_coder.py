"""A convolutional auto-encoder of patches: features from a patch, and the patch from its features.

The encoder and the generative part of Singla et al., 2018, https://arxiv.org/abs/1806.11217.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from saccade.layers.dimensions import BATCH_NORM, CONV, CONV_TRANSPOSE
from saccade.layers.resample import crop


class PatchEncoder(nn.Sequential):
    """Features (b, d) of patches (b, c, *space): on each level one or two 3x3 convolutions and one of step 2.

    None has a bias, behind each come batch norm and ELU. The first level has one convolution, the others two. What
    is left of the grid is averaged.

    Args:
        in_channels: Channels of a patch.
        channels: Width of each level; the last is d.
        spatial_dims: 1, 2 or 3.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], spatial_dims: int) -> None:
        super().__init__()
        into = in_channels
        for level, width in enumerate(channels):
            for _ in range(1 if level == 0 else 2):
                self.append(_layer(CONV[spatial_dims](into, width, 3, padding=1, bias=False)))
                into = width
            self.append(_layer(CONV[spatial_dims](width, width, 3, 2, 1, bias=False)))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b d"]:
        return super().forward(x).flatten(2).mean(2)


class PatchDecoder(nn.Module):
    """Patches (b, c, *space) from features (b, d): `PatchEncoder` backwards, with transposed convolutions.

    The last layer too ends in batch norm and ELU, as in the authors' code.

    Args:
        out_channels: Channels of a patch.
        channels: Width of each level of the encoder.
        spatial_dims: 1, 2 or 3.
    """

    def __init__(self, out_channels: int, channels: Sequence[int], spatial_dims: int) -> None:
        super().__init__()
        conv = CONV_TRANSPOSE[spatial_dims]
        self.levels = nn.ModuleList()
        for level in reversed(range(len(channels))):
            width, below = channels[level], channels[level - 1] if level else out_channels
            rise = _layer(conv(width, width, 3, 2, 1, output_padding=1, bias=False))
            between = [width, below] if level == 0 else [width, width, below]
            layers = [_layer(conv(a, b, 3, padding=1, bias=False)) for a, b in pairwise(between)]
            self.levels.append(nn.ModuleList([rise, *layers]))
        for module in self.modules():
            if isinstance(module, _ConvTransposeNd):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, features: Float[Tensor, "b d"], size: Sequence[int]) -> Float[Tensor, "b c *space"]:
        """Patches of this size."""
        sizes = [tuple(size)]
        for _ in self.levels:
            sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))  # what the encoder's steps leave
        x = features.reshape(*features.shape, *[1] * len(sizes[0])).expand(-1, -1, *sizes.pop())
        level: Any
        for level in self.levels:
            rise, *layers = level
            x = crop(rise(x), sizes.pop())
            for layer in layers:
                x = layer(x)
        return x


def _layer(conv: Any) -> nn.Sequential:
    return nn.Sequential(conv, BATCH_NORM[conv.weight.ndim - 2](conv.out_channels), nn.ELU())
