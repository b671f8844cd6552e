"""Channel attention: reweight feature maps by a gate read from their global means.

Squeeze-and-excitation: Hu et al., 2018, https://arxiv.org/abs/1709.01507.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name

SQUEEZES = ("average", "max")


class SqueezeExcitation(nn.Module):
    """Multiply every channel by a number in (0, 1) computed from all channel means.

    ``z_c = mean of x over positions`` (eq. 2), ``g = sigmoid(W2 relu(W1 z))`` (eq. 3), ``y = x * g`` (eq. 4).
    One module serves signals, images and volumes.

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units. Default 16, as in the paper.
        bias: Whether both linear layers carry a bias. True (default) as in the authors' released code, False as in
            the paper.
        squeeze: ``average`` (default) or ``max`` over positions, the paper's ablation.
        activation: Makes the non-linearity of the hidden layer. Default ReLU, the paper's.
        gate_activation: Makes what turns scores into the gate. Default sigmoid, the paper's; gates of others may leave
            (0, 1).
        residual: Whether the input is added to the output, as in MONAI's ResidualSELayer. Default False.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``, or for an unknown squeeze.

    >>> import torch
    >>> SqueezeExcitation(32)(torch.randn(2, 32, 9, 9, 9)).shape
    torch.Size([2, 32, 9, 9, 9])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        bias: bool = True,
        squeeze: str = "average",
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate_activation: Callable[[], nn.Module] = nn.Sigmoid,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if squeeze not in SQUEEZES:
            raise unknown_name("SqueezeExcitation", "squeeze", squeeze, list(SQUEEZES))
        hidden = hidden_units("SqueezeExcitation", channels, reduction)
        self.squeeze, self.residual = squeeze, residual
        self.shrink = nn.Linear(channels, hidden, bias=bias)
        self.activation = activation()
        self.grow = nn.Linear(hidden, channels, bias=bias)
        self.gate_activation = gate_activation()
        self.map = Tap("channel")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        """The attention itself: one weight per item and channel."""
        flat = x.flatten(2)
        z = flat.mean(2) if self.squeeze == "average" else flat.max(2).values
        return self.gate_activation(self.grow(self.activation(self.shrink(z))))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        y = x * over_space(self.map(self.gate(x)), x)
        return y + x if self.residual else y


def hidden_units(who: str, channels: int, reduction: int) -> int:
    """Units of a bottleneck: ``channels // reduction``.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``; the message names ``who``.
    """
    if not 1 <= reduction <= channels:
        raise InputError(f"{who}: reduction must be between 1 and channels ({channels}), got {reduction}.")
    return int(channels // reduction)


def over_space(gate: Float[Tensor, "b c"], x: Float[Tensor, "b c *space"]) -> Tensor:
    """The gate with an axis of length one for each spatial axis of x: (b, c, 1, ...)."""
    return gate.reshape(*gate.shape, *[1] * (x.ndim - 2))
