"""Self-attention on feature maps, as a residual block with a learned weight.

Zhang et al., 2018 (SAGAN), https://arxiv.org/abs/1805.08318.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from saccade.attention.non_local import pool, pooling_of
from saccade.attention.pairwise import Softmax, attend
from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.layers.dimensions import CONV, check_spatial_dims


class SelfAttention(nn.Module):
    """Add to every position a mean of values from all positions, weighted by query times key.

    With queries ``f(x)`` and keys ``g(x)`` of C' channels and values ``h(x)``, all by 1x1 convolutions:
    ``beta_ij = softmax over j of f(x_i) . g(x_j)`` (eq. 1), ``o_i = W_v sum_j beta_ij h(x_j)`` (eq. 2) and
    ``y = gamma * o + x`` (eq. 3), with one number gamma learned from 0, so that a new block gives back its input.

    Args:
        channels: The paper's C, of input and output.
        inner_channels: The paper's C' of queries and keys. Default: C / 8, at least 1, as in the paper.
        value_channels: Of h; a convolution W_v then brings them back to C. Default None: h has C channels and there is
            no W_v, as in the paper's first version and in most code. The paper has C / 8, its authors' code C / 2.
        subsample: Maximum pooling of keys and values, as `saccade.attention.NonLocal` takes it; the authors' code has
            True, the paper False (default).
        bias: Whether the convolutions carry a bias. Default True; False in the authors' code.
        spectral_norm: Whether the weights are divided by their largest singular value, as in the paper, which
            generative adversarial networks want. Default False.
        spatial_dims: 1, 2 or 3.

    Raises:
        InputError: For numbers below 1 or a wrong ``spatial_dims``.

    Differs from the paper: its beta_{j,i} is written here as row i of the map, one row for each query.

    >>> x = torch.randn(2, 16, 5, 7)
    >>> torch.equal(SelfAttention(16)(x), x)
    True
    """

    def __init__(
        self,
        channels: int,
        *,
        inner_channels: int | None = None,
        value_channels: int | None = None,
        subsample: bool | int | Sequence[int] = False,
        bias: bool = True,
        spectral_norm: bool = False,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        conv = CONV[check_spatial_dims("SelfAttention", spatial_dims)]
        inner = max(channels // 8, 1) if inner_channels is None else inner_channels
        values = channels if value_channels is None else value_channels
        for name, number in [("channels", channels), ("inner_channels", inner), ("value_channels", values)]:
            if number < 1:
                raise InputError(f"SelfAttention: {name} must be at least 1, got {number}.")

        def point(into: int, out: int) -> nn.Module:
            layer = conv(into, out, 1, bias=bias)
            return with_spectral_norm(layer) if spectral_norm else layer

        self.subsample = pooling_of("SelfAttention", subsample, spatial_dims)
        self.query, self.key, self.value = point(channels, inner), point(channels, inner), point(channels, values)
        self.transform = nn.Identity() if value_channels is None else point(values, channels)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.pairwise = Softmax()
        self.map = Tap("pairwise")

    def embed(
        self, x: Float[Tensor, "b c *space"]
    ) -> tuple[Float[Tensor, "b k *space"], Float[Tensor, "b k *keys"], Float[Tensor, "b v *keys"]]:
        """Queries on the grid of x, and keys and values on theirs, which is coarser when they are pooled."""
        return self.query(x), pool(self.key(x), self.subsample), pool(self.value(x), self.subsample)

    def weights(self, x: Float[Tensor, "b c *space"], rows: Sequence[int] | None = None) -> Float[Tensor, "b 1 n m"]:
        """The attention itself, beta: a row for each position of x, or those numbered in ``rows``; rows sum to 1."""
        query, key, _ = self.embed(x)
        return self.pairwise.weights(query.flatten(2), key.flatten(2), rows)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return self.gamma * self.transform(attend(self.pairwise, self.map, *self.embed(x))) + x
