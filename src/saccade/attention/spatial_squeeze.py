"""Spatial attention: reweight positions by a gate read from their channels.

Spatial squeeze and excitation (sSE): Roy et al., 2018, https://arxiv.org/abs/1803.02579.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.layers.pointwise import Pointwise


class SpatialSqueezeExcitation(nn.Module):
    """Multiply every position by a number in (0, 1) computed from its channels.

    ``q = W_sq * x`` (a 1x1 convolution to one channel), ``y = x * sigmoid(q)`` (section 2 of the paper). One module
    serves signals, images and volumes.

    Args:
        channels: Channels of the input and of the output.
        bias: Whether the convolution carries a bias. True (default) as in the authors' released code, False as in the
            paper.

    Raises:
        InputError: If ``channels`` is below 1.

    >>> SpatialSqueezeExcitation(8)(torch.randn(2, 8, 5, 7)).shape
    torch.Size([2, 8, 5, 7])
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"SpatialSqueezeExcitation: channels must be at least 1, got {channels}.")
        self.score: nn.Module = Pointwise(channels, 1, bias=bias)
        self.map = Tap("spatial")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b 1 *space"]:
        """The attention itself: one weight per item and position."""
        return torch.sigmoid(self.score(x))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * self.map(self.gate(x))
