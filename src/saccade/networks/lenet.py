"""LeNet-5, the first convolutional network in wide use.

LeCun et al., 1998, Gradient-based learning applied to document recognition.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.layers.dimensions import AVERAGE_POOL, CONV, check_spatial_dims
from saccade.networks.checks import refuse_below_one

FIELD = 32  # pixels that the last convolution sees


class LeNet(nn.Module):
    """One score per class from three 5x5 convolutions with tanh, mean pooling between them, and two linear layers.

    The last convolution sees 32 positions along an axis. Shorter axes are padded with zeros on both sides to 32 (28
    pixel digits stood in fields of 32 in the paper); of longer ones its map is averaged over positions. 61,706
    parameters for one channel and ten classes in 2D.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        channels: Of the three convolutions, the paper's C1, C3 and C5.
        hidden: Units of the layer before the last, the paper's F6.

    Raises:
        InputError: For numbers below 1, or another number of ``channels`` than three.

    Differs from the paper: pooling has no weights, C3 sees all maps of the layer before, and the output is linear.

    >>> import torch
    >>> LeNet(1, 10)(torch.randn(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (6, 16, 120),
        hidden: int = 84,
    ) -> None:
        super().__init__()
        check_spatial_dims("LeNet", spatial_dims)
        refuse_below_one("LeNet", in_channels=in_channels, out_channels=out_channels, channels=channels, hidden=hidden)
        if len(channels) != 3:
            raise InputError(f"LeNet: channels must be three numbers, got {len(channels)}.")
        conv, pool = CONV[spatial_dims], AVERAGE_POOL[spatial_dims]
        first, second, third = channels
        self.features = nn.Sequential(
            conv(in_channels, first, 5),
            nn.Tanh(),
            pool(2),
            conv(first, second, 5),
            nn.Tanh(),
            pool(2),
            conv(second, third, 5),
            nn.Tanh(),
        )
        self.classifier = nn.Sequential(nn.Linear(third, hidden), nn.Tanh(), nn.Linear(hidden, out_channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        return self.classifier(self.features(in_field(x, FIELD)).flatten(2).mean(2))


def in_field(x: Float[Tensor, "b c *space"], least: int) -> Float[Tensor, "b c *field"]:
    """Zeros on both sides of every axis that has fewer positions than ``least``, so that it has as many."""
    lacking = [max(least - n, 0) for n in reversed(x.shape[2:])]  # F.pad counts from the last axis
    return F.pad(x, [n for lack in lacking for n in (lack // 2, lack - lack // 2)]) if any(lacking) else x
