"""Blocks of 3x3 convolutions, with maximum pooling before some of them: what VGG-like networks with attention share."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.convolution import ConvNormReLU
from saccade.layers.dimensions import MAX_POOL
from saccade.layers.norm import Norm
from saccade.networks.checks import refuse_below_one, refuse_small


class ConvBlocks(nn.Module):
    """The map of every block, finest first.

    Args:
        who: Name of the network, for messages.
        in_channels: Channels of the input.
        channels: Width of each block.
        convolutions: Number of convolutions of each block.
        spatial_dims: 1, 2 or 3.
        norm: Behind every convolution; see `saccade.layers.make_norm`.
        first_pooled: Number of the first block (from 0) before which the grid is halved; it is before all after it.

    Raises:
        InputError: For numbers below 1, or blocks without a width or number of convolutions; in forward for an input
            that is too small.
    """

    def __init__(
        self,
        who: str,
        in_channels: int,
        *,
        channels: Sequence[int],
        convolutions: Sequence[int],
        spatial_dims: int,
        norm: Norm = "batch",
        first_pooled: int = 1,
    ) -> None:
        super().__init__()
        refuse_below_one(who, in_channels=in_channels, channels=channels, convolutions=convolutions)
        if len(channels) != len(convolutions):
            raise InputError(
                f"{who}: channels and convolutions must name the same blocks, got {len(channels)} and "
                f"{len(convolutions)}."
            )
        self.who, self.first_pooled = who, first_pooled
        self.least = 2 ** max(len(channels) - first_pooled, 0)
        self.pool = MAX_POOL[spatial_dims](2)
        self.blocks = nn.ModuleList()
        into = in_channels
        for width, count in zip(channels, convolutions, strict=True):
            block = nn.Sequential()
            for _ in range(count):
                block.append(ConvNormReLU(into, width, spatial_dims=spatial_dims, norm=norm))
                into = width
            self.blocks.append(block)

    def forward(self, x: Float[Tensor, "b c *space"]) -> list[Tensor]:
        refuse_small(self.who, x, self.least, "Take fewer blocks.")
        found: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(self.pool(x) if i >= self.first_pooled else x)
            found.append(x)
        return found
