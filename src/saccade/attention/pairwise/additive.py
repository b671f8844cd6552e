"""Additive scores with softmax, as the code published with Attention U-Net has among its non-local forms."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from saccade.attention.pairwise.base import Pairwise, select_rows

# Numbers that the block of all channels of some queries with all keys may have: 64 MiB of float32.
BLOCK = 2**24


class Additive(Pairwise):
    """``f = exp(psi . relu(theta_i + phi_j) + bias)``, ``C(x) = sum_j f``: a softmax over the keys.

    Not among the four forms of Wang et al.; it is the additive attention of Bahdanau et al., 2015, with ReLU in place
    of tanh. Every channel has its own kinks, so that no sorting helps: large planes of pairs are computed in blocks of
    queries, again in the backward pass, in memory linear in the number of positions.

    Args:
        channels: Channels of theta and of phi.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.psi = nn.Conv2d(channels, 1, 1)

    def weights(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], rows: Sequence[int] | None = None
    ) -> Float[Tensor, "b 1 q m"]:
        # Keys before queries, as published, so that rounding is the same.
        pairs = torch.relu(select_rows(theta, rows)[:, :, None] + phi[:, :, :, None])
        return self.psi(pairs).softmax(2).mT

    def combine(self, weights: Float[Tensor, "b 1 n m"], g: Float[Tensor, "b d m"]) -> Float[Tensor, "b d n"]:
        """For each query the sum of all values, each times its weight."""
        return g @ weights[:, 0].mT

    def forward(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]
    ) -> Float[Tensor, "b d n"]:
        pairs = theta.numel() * phi.shape[2]
        if torch.compiler.is_compiling() or pairs <= BLOCK:
            return self.combine(self.weights(theta, phi), g)

        def part(queries: Tensor) -> Tensor:
            return self.combine(self.weights(queries, phi), g)

        size = max(BLOCK * theta.shape[2] // pairs, 1)
        return torch.cat([checkpoint(part, queries, use_reentrant=False) for queries in theta.split(size, 2)], 2)
