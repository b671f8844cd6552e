"""Channel attention: reweight feature maps by a gate read from their global means.

Squeeze-and-excitation: Hu et al., 2018, https://arxiv.org/abs/1709.01507.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError


class SqueezeExcitation(nn.Module):
    """Multiply every channel by a number in (0, 1) computed from all channel means.

    ``z_c = mean of x over positions`` (eq. 2), ``g = sigmoid(W2 relu(W1 z))`` (eq. 3), ``y = x * g`` (eq. 4).
    One module serves signals, images and volumes.

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units. Default 16, as in the paper.
        bias: Whether both linear layers carry a bias. True (default) as in the authors' released code, False as in
            the paper.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``.

    >>> SqueezeExcitation(32)(torch.randn(2, 32, 9, 9, 9)).shape
    torch.Size([2, 32, 9, 9, 9])
    """

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = True) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise InputError(
                f"SqueezeExcitation: reduction must be between 1 and channels ({channels}), got {reduction}."
            )
        self.shrink = nn.Linear(channels, channels // reduction, bias=bias)
        self.grow = nn.Linear(channels // reduction, channels, bias=bias)
        self.map = Tap("channel")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        """The attention itself: one weight per item and channel."""
        z = x.flatten(2).mean(2)
        return torch.sigmoid(self.grow(torch.relu(self.shrink(z))))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        g = self.map(self.gate(x))
        return x * g.reshape(*g.shape, *[1] * (x.ndim - 2))
