"""A linear layer with its weight as code for Theano stores it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class TheanoLinear(nn.Module):
    """``x W + b`` with W as (in, out); starts from N(0, 0.01^2) and zero, as the published codes do.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        bias: Shape of b: (out,), or () where the code has a bare number; None for no bias.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(in_channels, out_channels))
        self.bias = None if bias is None else nn.Parameter(torch.zeros(bias))

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return x @ self.weight if self.bias is None else x @ self.weight + self.bias
