"""The additive gate without resampling, as re-implementations of Attention U-Net have it.

It stems from a public re-implementation and lives on in MONAI (monai.networks.nets.attentionunet); the paper's own
gate is `saccade.attention.AttentionGate`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.layers.dimensions import CONV, check_spatial_dims
from saccade.layers.norm import make_norm


class SameGridGate(nn.Module):
    """Multiply features by one soft mask computed from them and from a gating signal on the same grid.

    ``alpha = sigmoid(norm(psi(relu(norm(W_g g) + norm(W_x x)))))``, ``y = alpha * x``.

    Args:
        in_channels: Channels of x and of the output.
        gating_channels: Channels of the gating signal g.
        inner_channels: The paper's F_int. Default: half of ``in_channels``, as MONAI has it.
        spatial_dims: 1, 2 or 3.

    Differs from Oktay et al.: no coarser grid, batch norm on each projection and before the sigmoid, no output
    transform.

    >>> SameGridGate(8, 4, spatial_dims=2)(torch.randn(2, 8, 5, 7), torch.randn(2, 4, 5, 7)).shape
    torch.Size([2, 8, 5, 7])
    """

    def __init__(
        self, in_channels: int, gating_channels: int, *, inner_channels: int | None = None, spatial_dims: int = 3
    ) -> None:
        super().__init__()
        conv = CONV[check_spatial_dims("SameGridGate", spatial_dims)]
        inner = in_channels // 2 if inner_channels is None else inner_channels

        def project(into: int, out: int) -> nn.Sequential:
            return nn.Sequential(conv(into, out, 1), make_norm("batch", out, spatial_dims))

        self.from_signal = project(gating_channels, inner)
        self.from_features = project(in_channels, inner)
        self.score = project(inner, 1)
        self.map = Tap("spatial")

    def coefficients(
        self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *space"]
    ) -> Float[Tensor, "b 1 *space"]:
        """The attention itself: one weight in (0, 1) per item and position."""
        return torch.sigmoid(self.score(torch.relu(self.from_signal(g) + self.from_features(x))))

    def forward(self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *space"]) -> Float[Tensor, "b c *space"]:
        return x * self.map(self.coefficients(x, g))
