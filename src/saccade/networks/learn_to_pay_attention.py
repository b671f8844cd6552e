"""A VGG that classifies from places of its mid-level maps which agree with what it sees as a whole.

Jetley et al., 2018, https://arxiv.org/abs/1804.02391.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import kaiming_initialise_
from saccade.layers.dimensions import check_spatial_dims
from saccade.layers.pointwise import Pointwise
from saccade.networks.checks import refuse_below_one
from saccade.networks.conv_blocks import ConvBlocks
from saccade.networks.heads import mean_of_softmaxes

COMPATIBILITIES = ("additive", "dot")
COMBINATIONS = ("concat", "mean")


class AttentionEstimator(nn.Module):
    """The mean of local features, weighted by how well each agrees with a global one.

    ``c_i = u . (l_i + g)`` (additive) or ``c_i = l_i . g`` (dot), ``a = softmax_i(c)``, output ``sum_i a_i l_i``. Local
    features of other channels than g are mapped to as many first.

    Args:
        channels: Channels of the local features.
        global_channels: Channels of the global feature and of the output.
        compatibility: ``additive`` (the paper's parametrised one) or ``dot``.

    Raises:
        InputError: For an unknown compatibility.
    """

    def __init__(self, channels: int, global_channels: int, *, compatibility: str = "additive") -> None:
        super().__init__()
        if compatibility not in COMPATIBILITIES:
            raise unknown_name("LearnToPayAttention", "compatibility", compatibility, list(COMPATIBILITIES))
        same = channels == global_channels
        self.project = nn.Identity() if same else Pointwise(channels, global_channels, bias=False)
        self.agree = Pointwise(global_channels, 1, bias=False) if compatibility == "additive" else None
        self.map = Tap("spatial")

    def weights(self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b d"]) -> Float[Tensor, "b 1 *space"]:
        """The attention itself: one weight per position; they sum to one."""
        return self._weights(self.project(x), g)

    def forward(self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        local = self.project(x)
        return (self.map(self._weights(local, g)) * local).flatten(2).sum(2)

    def _weights(self, local: Tensor, g: Tensor) -> Tensor:
        whole = g.reshape(*g.shape, *[1] * (local.ndim - 2))
        scores = (local * whole).sum(1, keepdim=True) if self.agree is None else self.agree(local + whole)
        return scores.flatten(2).softmax(2).reshape(scores.shape)


class LearnToPayAttention(nn.Module):
    """One score per class from the maps of the last three blocks, each pooled by its agreement with the whole image.

    The global feature is the mean of the last map through a linear layer with ReLU. Attention is recorded as
    ``attention.0.map`` (finest) to ``attention.2.map``.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each block, at least three; the default is VGG-16's.
        convolutions: Number of convolutions of each block.
        early_pooling: Whether all blocks but the first work on a grid half as fine as the one before, as in VGG, or
            (default, as in the paper, whose images are small) only those behind the first block with attention.
        compatibility: ``additive`` (default, the paper's better one) or ``dot``.
        combine: ``concat`` (one linear layer on the three pooled features) or ``mean`` (one on each, the mean of their
            probabilities).

    Raises:
        InputError: For numbers below 1, fewer than three blocks, blocks without a width or number of convolutions, or
            an unknown compatibility or combination; in forward for an input that is too small.

    Differs from the paper: the global feature is a mean over positions, so that any size is taken, where the paper has
    further pooling and layers for one size.

    >>> net = LearnToPayAttention(1, 3, channels=(4, 8, 8), convolutions=(1, 1, 1))
    >>> net(torch.randn(2, 1, 32, 25)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
        early_pooling: bool = False,
        compatibility: str = "additive",
        combine: str = "concat",
    ) -> None:
        super().__init__()
        check_spatial_dims("LearnToPayAttention", spatial_dims)
        refuse_below_one("LearnToPayAttention", out_channels=out_channels)
        if combine not in COMBINATIONS:
            raise unknown_name("LearnToPayAttention", "combination", combine, list(COMBINATIONS))
        if len(channels) < 3:
            raise InputError(f"LearnToPayAttention: channels must name at least 3 blocks, got {len(channels)}.")
        self.features = ConvBlocks(
            "LearnToPayAttention",
            in_channels,
            channels=channels,
            convolutions=convolutions,
            spatial_dims=spatial_dims,
            first_pooled=1 if early_pooling else len(channels) - 2,
        )
        width = channels[-1]
        self.whole = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.attention = nn.ModuleList(
            AttentionEstimator(local, width, compatibility=compatibility) for local in channels[-3:]
        )
        each = [3 * width] if combine == "concat" else [width] * 3
        self.heads = nn.ModuleList(nn.Linear(seen, out_channels) for seen in each)
        kaiming_initialise_(self)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        maps = self.features(x)[-3:]
        g = self.whole(maps[-1].flatten(2).mean(2))
        seen = [attention(local, g) for attention, local in zip(self.attention, maps, strict=True)]
        if len(self.heads) == 1:
            return self.heads[0](torch.cat(seen, 1))
        return mean_of_softmaxes([head(feature) for head, feature in zip(self.heads, seen, strict=True)])
