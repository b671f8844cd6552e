"""Softmax of dot products as weights: (embedded) Gaussian non-local attention and self-attention."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.attention.pairwise.base import Pairwise, apply_weights, select_rows

# From so many pairs on the fused kernel is the faster one on a CPU; measured by benchmarks/attention.py. It multiplies
# queries and keys once more in the backward pass, which few channels repay earlier.
LARGE_PLANE, NARROW_PLANE, NARROW = 8192 * 8192, 3072 * 3072, 128


class Softmax(Pairwise):
    """``f = exp(scale * theta_i . phi_j)``, ``C(x) = sum_j f`` (Wang et al., eq. 2 and 3; Zhang et al., eq. 1).

    Large planes of pairs go through PyTorch's fused kernel, which never holds them; memory is then linear in the
    number of positions. Small ones are built, which is faster.

    Args:
        scale: Factor in front of the dot product. 1 (default) in both papers; ``c ** -0.5`` for c channels of theta in
            the Transformer and in the code of Wang et al.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def weights(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], rows: Sequence[int] | None = None
    ) -> Float[Tensor, "b 1 q m"]:
        return (self.scale * (select_rows(theta, rows).mT @ phi)).softmax(2)[:, None]

    def forward(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]
    ) -> Float[Tensor, "b d n"]:
        if fused_is_faster(theta, phi, g):
            return fused(theta, phi, g, self.scale)
        return apply_weights(self.weights(theta, phi), g)


def fused_is_faster(theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]) -> bool:
    """Whether the fused kernel is the way to go: on CPUs by size, on other devices and in traced programs always."""
    if theta.device.type != "cpu" or torch.compiler.is_compiling():
        return True
    pairs = theta.shape[2] * phi.shape[2]
    return pairs >= LARGE_PLANE or (pairs >= NARROW_PLANE and max(theta.shape[1], g.shape[1]) <= NARROW)


def fused(
    theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"], scale: float
) -> Float[Tensor, "b d n"]:
    """The sum by PyTorch's fused attention.

    Its kernels want as many channels in the values as in queries and keys: zeros are put behind the narrower ones,
    where they change no dot product, and what they give is cut off.
    """
    channels = max(theta.shape[1], g.shape[1])

    def tokens(x: Tensor) -> Tensor:
        return F.pad(x.mT, (0, channels - x.shape[1])).contiguous()[:, None]  # b 1 n channels

    y = F.scaled_dot_product_attention(tokens(theta), tokens(phi), tokens(g), scale=scale)
    return y[:, 0, :, : g.shape[1]].mT.contiguous()
