"""Where to look next: a policy that draws locations and learns from rewards.

Mnih et al., 2014, https://arxiv.org/abs/1406.6247, section 3.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.layers.dimensions import check_spatial_dims

Chance = torch.Generator | Sequence[torch.Generator] | None


def draw(
    kind: Callable[..., Tensor], like: Float[Tensor, "b *n"], channels: int, generator: Chance
) -> Float[Tensor, "b channels"]:
    """``torch.rand`` or ``torch.randn``, for a batch at once or of each item's own generator.

    Args:
        kind: Which of them.
        like: Tells batch size, type and device.
        channels: Numbers of an item.
        generator: Of all draws, or one for each item, so that they do not depend on who else is in the batch; PyTorch's
            own when None.
    """
    about = {"dtype": like.dtype, "device": like.device}
    if isinstance(generator, Sequence):
        return torch.stack([kind(channels, generator=each, **about) for each in generator])
    return kind(len(like), channels, generator=generator, **about)


class LocationPolicy(nn.Module):
    """``l ~ N(mean(h), std^2 I)``, clamped to [-1, 1], and ``log pi(l)`` of the draw before it was clamped.

    The draw has no gradient, and none goes to the state: ``log pi`` times a reward is what the policy learns from
    (REINFORCE), while the rest of the network learns from its own loss.

    Args:
        channels: Channels of the state h.
        spatial_dims: Numbers of a location: 1, 2 or 3.
        std: Standard deviation of the draws, in half image widths; fixed, as in the paper, which does not tell it.
        hidden_channels: None (default) for ``mean = W h + b``, as in the paper; a number for a hidden layer with ReLU
            of that width and a tanh at the end, as in kevinzakka/recurrent-visual-attention (half of ``channels``).

    Raises:
        InputError: For a wrong ``spatial_dims`` or a ``std`` that is not above 0.

    >>> location, log_probability = LocationPolicy(8)(torch.randn(3, 8))
    >>> location.shape, log_probability.shape
    (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(
        self, channels: int, *, spatial_dims: int = 2, std: int | float = 0.1, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        check_spatial_dims("LocationPolicy", spatial_dims)
        if std <= 0:
            raise InputError(f"LocationPolicy: std must be above 0, got {std}.")
        self.std = std
        self.hidden = None if hidden_channels is None else nn.Linear(channels, hidden_channels)
        self.out = nn.Linear(channels if hidden_channels is None else hidden_channels, spatial_dims)
        self.aim = Tap("glimpse")
        self.map = Tap("glimpse")

    def mean(self, state: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Where it aims; the place to look at when nothing is to be explored."""
        if self.hidden is None:
            return self.out(state.detach())
        return torch.tanh(self.out(torch.relu(self.hidden(state.detach()))))

    def forward(
        self, state: Float[Tensor, "b c"], *, generator: Chance = None
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b"]]:
        """Draw a location.

        Args:
            state: The network's state.
            generator: Of the draw, or one for each item; PyTorch's own when left out.

        Returns:
            The location, and the logarithm of its density.
        """
        mean = self.aim(self.mean(state))
        noise = draw(torch.randn, mean, mean.shape[1], generator)
        drawn = (mean + self.std * noise).detach()
        logs = -((drawn - mean) ** 2) / (2 * self.std**2) - math.log(self.std) - 0.5 * math.log(2 * math.pi)
        return self.map(drawn.clamp(-1, 1)), logs.sum(1)
