"""Dot products as weights, summed in the order that is linear in the number of positions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.attention.pairwise.base import Pairwise, apply_weights, select_rows


class DotProduct(Pairwise):
    """``f = theta_i . phi_j``, ``C(x)`` = the number of keys (Wang et al., eq. 4).

    ``y_i = sum_j (theta_i . phi_j) g_j / m = theta_i . (sum_j phi_j g_j^T / m)``: the bracket is one small matrix for
    all queries, so that cost and memory grow with n + m instead of n m. Where positions are few and channels many, the
    map is the cheaper way and is taken.

    >>> x = torch.tensor([[[1.0, 2.0]]])
    >>> DotProduct()(x, x, x)  # (1 * 1 + 2 * 2) / 2 = 2.5 times each query
    tensor([[[2.5000, 5.0000]]])
    """

    def weights(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], rows: Sequence[int] | None = None
    ) -> Float[Tensor, "b 1 q m"]:
        return (select_rows(theta, rows).mT @ phi / phi.shape[2])[:, None]

    def forward(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]
    ) -> Float[Tensor, "b d n"]:
        (_, c, n), (_, d, m) = theta.shape, g.shape
        # A traced program must serve every size, so the order that is good for large ones is kept.
        if not torch.compiler.is_compiling() and n * m * (c + d) < (n + m) * c * d:
            return apply_weights(self.weights(theta, phi), g)
        return (g @ phi.mT / m) @ theta
