"""The concatenation form of pairwise weights, summed over all keys by sorting them once."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.pairwise.base import Pairwise, select_rows
from saccade.attention.pairwise.hinge import hinge_sum


class AffineReLU(Pairwise):
    """Weights ``relu(a_i + b_j)`` over a number; subclasses say what a, b and the number are."""

    @abstractmethod
    def scores(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"], int | torch.SymInt]:
        """The summand of each query, that of each key, and C(x)."""

    def weights(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], rows: Sequence[int] | None = None
    ) -> Float[Tensor, "b 1 q m"]:
        a, b, number = self.scores(theta, phi)
        return (torch.relu(select_rows(a[:, None], rows).mT + b[:, None]) / number)[:, None]

    def forward(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]
    ) -> Float[Tensor, "b d n"]:
        a, b, number = self.scores(theta, phi)
        return hinge_sum(a, b, g) / number


class Concatenation(AffineReLU):
    """``f = relu(w_f . [theta_i, phi_j])``, ``C(x)`` = the number of keys (Wang et al., eq. 5).

    ``w_f . [theta_i, phi_j] = a_i + b_j`` with ``a = w_theta . theta`` and ``b = w_phi . phi``, the two halves of w_f;
    see `hinge_sum` for the sum over all keys in ``O((n + m) log m)``.

    Args:
        channels: Channels of theta and of phi.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # What the formula says: a 1x1 convolution over the plane of all pairs, with 2 C' channels.
        self.project = nn.Conv2d(2 * channels, 1, 1, bias=False)

    def scores(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"], int | torch.SymInt]:
        """The summand of each query, that of each key, and the number of keys."""
        for_theta, for_phi = self.project.weight.reshape(2, 1, -1)
        return (for_theta @ theta)[:, 0], (for_phi @ phi)[:, 0], phi.shape[2]
