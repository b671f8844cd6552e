"""Attention from the profiles of a volume along its axes.

Project and excite: Rickmann et al., 2019, https://arxiv.org/abs/1906.04649.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.squeeze import hidden_units
from saccade.attention.tap import Tap
from saccade.layers.pointwise import Pointwise


class ProjectExcitation(nn.Module):
    """Multiply every voxel of every channel by a number in (0, 1) computed from the profiles that cross in it.

    ``z = sum over axes of the mean of x over all other axes``, broadcast to the whole grid,
    ``y = x * sigmoid(V2 relu(V1 z))`` with 1x1 convolutions V1 and V2. One module serves images and volumes; in one
    dimension z is x itself.

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r; ``channels // reduction`` channels in between. Default 2, as in the released code.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``.

    >>> ProjectExcitation(8)(torch.randn(2, 8, 5, 7, 3)).shape
    torch.Size([2, 8, 5, 7, 3])
    """

    def __init__(self, channels: int, *, reduction: int = 2) -> None:
        super().__init__()
        hidden = hidden_units("ProjectExcitation", channels, reduction)
        self.shrink: nn.Module = Pointwise(channels, hidden)
        self.grow: nn.Module = Pointwise(hidden, channels)
        self.map = Tap("spatial")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The attention itself: one weight per item, channel and position."""
        axes = range(2, x.ndim)
        profiles = [x.mean([other for other in axes if other != axis], keepdim=True) for axis in axes if x.ndim > 3]
        z = sum(profiles[1:], profiles[0]) if profiles else x
        return torch.sigmoid(self.grow(torch.relu(self.shrink(z))))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * self.map(self.gate(x))
