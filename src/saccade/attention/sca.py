"""Channel and spatial attention by softmax, steered by the state of a recurrent decoder.

SCA-CNN: Chen et al., 2017, https://arxiv.org/abs/1611.05594.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.squeeze import over_space
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name

ORDERS = ("channel-spatial", "spatial-channel")


class AdditiveSoftmax(nn.Module):
    """Weights that sum to one over rows, from each row and from one vector for all of them.

    ``softmax over rows of (tanh(row W + b + h W_h) u + c)``. Weights are (in, out).

    Args:
        row_size: Length of a row.
        inner_size: The paper's k.
        hidden_size: Length of the vector h; None for none.
    """

    def __init__(self, row_size: int, inner_size: int, hidden_size: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(row_size, inner_size))
        self.bias = nn.Parameter(torch.zeros(inner_size))
        self.hidden_weight = None if hidden_size is None else nn.Parameter(torch.empty(hidden_size, inner_size))
        self.out_weight = nn.Parameter(torch.empty(inner_size, 1))
        self.out_bias = nn.Parameter(torch.zeros(1))
        for weight in (self.weight, self.hidden_weight, self.out_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)

    def forward(self, rows: Float[Tensor, "b n row"], hidden: Float[Tensor, "b d"] | None) -> Float[Tensor, "b n"]:
        inner = rows @ self.weight + self.bias
        if self.hidden_weight is not None and hidden is not None:
            inner = inner + (hidden @ self.hidden_weight)[:, None]
        scores = torch.tanh(inner) @ self.out_weight + self.out_bias  # (b, n, 1)
        return scores[:, :, 0].softmax(1)


class SCA(nn.Module):
    """Reweight features by channel and by position; in both, what is gained in one place is lost in another.

    ``b = tanh((W_c * v + b_c) + W_hc h)``, ``beta = softmax(W_i' b + b_i')`` over channels (v: channel means);
    ``a = tanh((W_s V + b_s) + W_hs h)``, ``alpha = softmax(W_i a + b_i)`` over positions; ``X = V beta alpha``
    (eq. 3 to 9). The second attention sees the features that the first one weighted. The maps are named
    ``channel_map`` and ``spatial_map``. One module serves signals, images and volumes.

    Args:
        channels: Channels of the input and of the output.
        inner_channels: The paper's k. Default 512, as in the released code.
        hidden_size: Length of the decoder's state h, which forward then needs; None (default) leaves its term out.
        order: ``channel-spatial`` (default, the paper's better one) or ``spatial-channel``.
        rescale: Whether channel weights are multiplied by the number of channels and spatial weights by the number of
            positions, so that uniform attention changes nothing. True (default) as in the released code; without it,
            as in the paper's equations, features shrink by these factors. The maps sum to one in both cases.

    Raises:
        InputError: For numbers below 1, an unknown order, or in forward if a state is missing or not wanted.

    Differs from the paper: by the rescaling. The released code adds the last layer's bias to a weight instead of to the
    score; here it is added to the score, where it has no effect on a softmax.

    >>> SCA(8, inner_channels=4, hidden_size=5)(torch.randn(2, 8, 5, 7), torch.randn(2, 5)).shape
    torch.Size([2, 8, 5, 7])
    """

    def __init__(
        self,
        channels: int,
        *,
        inner_channels: int = 512,
        hidden_size: int | None = None,
        order: str = "channel-spatial",
        rescale: bool = True,
    ) -> None:
        super().__init__()
        numbers = {"channels": channels, "inner_channels": inner_channels, "hidden_size": hidden_size}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise InputError(f"SCA: {name} must be at least 1, got {number}.")
        if order not in ORDERS:
            raise unknown_name("SCA", "order", order, list(ORDERS))
        self.hidden_size, self.order, self.rescale = hidden_size, order, rescale
        self.channel = AdditiveSoftmax(1, inner_channels, hidden_size)
        self.spatial = AdditiveSoftmax(channels, inner_channels, hidden_size)
        self.channel_map = Tap("channel")
        self.spatial_map = Tap("spatial")

    def channel_weights(
        self, x: Float[Tensor, "b c *space"], hidden: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c"]:
        """The paper's beta: one weight per channel, all summing to one."""
        return self.channel(x.flatten(2).mean(2)[:, :, None], hidden)

    def spatial_weights(
        self, x: Float[Tensor, "b c *space"], hidden: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b 1 *space"]:
        """The paper's alpha: one weight per position, all summing to one."""
        return self.spatial(x.flatten(2).mT, hidden).reshape(x.shape[0], 1, *x.shape[2:])

    def forward(
        self, x: Float[Tensor, "b c *space"], hidden: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c *space"]:
        if (None if hidden is None else hidden.shape[1]) != self.hidden_size:
            wanted = "no state" if self.hidden_size is None else f"a state of length {self.hidden_size}"
            got = "none" if hidden is None else f"one of length {hidden.shape[1]}"
            raise InputError(f"SCA: forward takes {wanted} beside the features, got {got}.")
        if self.order == "channel-spatial":
            return self._by_position(self._by_channel(x, hidden), hidden)
        return self._by_channel(self._by_position(x, hidden), hidden)

    def _by_channel(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        beta = self.channel_map(self.channel_weights(x, hidden))
        return x * over_space(beta * (x.shape[1] if self.rescale else 1), x)

    def _by_position(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        alpha = self.spatial_map(self.spatial_weights(x, hidden))
        return x * (alpha * (x[0, 0].numel() if self.rescale else 1))
