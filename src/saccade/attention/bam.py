"""One gate for every channel and position, from a channel branch and a spatial branch.

Bottleneck Attention Module: Park et al., 2018, https://arxiv.org/abs/1807.06514.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.squeeze import hidden_units, over_space
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import BATCH_NORM, CONV, check_spatial_dims

_COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": torch.add, "product": torch.mul}


class ChannelBranch(nn.Sequential):
    """A score for every channel: global mean, then linear layers with batch norm and ReLU in between (eq. 3).

    Args:
        channels: Channels of the input.
        hidden: Units of every hidden layer.
        layers: Number of hidden layers.
        final_norm: Whether batch norm follows the last layer too.
    """

    def __init__(self, channels: int, hidden: int, *, layers: int = 1, final_norm: bool = True) -> None:
        parts: list[nn.Module] = []
        for i in range(layers):
            parts += [nn.Linear(hidden if i else channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
        parts.append(nn.Linear(hidden if layers else channels, channels))
        if final_norm:
            parts.append(nn.BatchNorm1d(channels))
        super().__init__(*parts)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        return super().forward(x.flatten(2).mean(2))


class SpatialBranch(nn.Sequential):
    """A score for every position: 1x1 convolution, dilated 3x3 convolutions, 1x1 convolution to one channel (eq. 4).

    Args:
        channels: Channels of the input.
        hidden: Channels inside.
        dilation: Step between the voxels that the kernels see.
        convolutions: Number of dilated ones.
        spatial_dims: 1, 2 or 3.
        final_norm: Whether batch norm follows the last convolution too.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        dilation: int = 4,
        convolutions: int = 2,
        spatial_dims: int = 2,
        final_norm: bool = True,
    ) -> None:
        conv, norm = CONV[spatial_dims], BATCH_NORM[spatial_dims]
        parts: list[nn.Module] = [conv(channels, hidden, 1), norm(hidden), nn.ReLU()]
        for _ in range(convolutions):
            parts += [conv(hidden, hidden, 3, padding=dilation, dilation=dilation), norm(hidden), nn.ReLU()]
        parts.append(conv(hidden, 1, 1))
        if final_norm:
            parts.append(norm(1))
        super().__init__(*parts)


class BAM(nn.Module):
    """Add to features a gated copy of themselves; the gate has a value for every channel and position.

    ``M = sigmoid(M_c(x) + M_s(x))`` (eq. 2), ``y = x + x M`` (eq. 1), with a channel branch M_c (eq. 3) and a spatial
    branch M_s (eq. 4).

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r; both branches have ``channels // reduction`` channels inside. Default 16, as in the
            paper.
        dilation: The paper's d, of the spatial branch. Default 4, as in the paper.
        layers: Hidden layers of the channel branch. Default 1, as in the paper.
        convolutions: Dilated convolutions of the spatial branch. Default 2, as in the paper.
        spatial_dims: 1, 2 or 3.
        combine: ``sum`` of the branches (default, the paper) or their ``product`` (the released code).
        final_norm: Whether batch norm ends both branches, as in the paper (default); the released code has none.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``; for a dilation below 1, a negative number of
            layers, an unknown combination or a wrong ``spatial_dims``.
        ValueError: From batch norm, for a batch of one item in training mode.

    Differs from the paper: by default not at all; it works on grids that are not square, which the released code does
    not.

    >>> BAM(32)(torch.randn(2, 32, 11, 7)).shape
    torch.Size([2, 32, 11, 7])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        dilation: int = 4,
        layers: int = 1,
        convolutions: int = 2,
        spatial_dims: int = 2,
        combine: str = "sum",
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        check_spatial_dims("BAM", spatial_dims)
        hidden = hidden_units("BAM", channels, reduction)
        for name, number, least in (
            ("dilation", dilation, 1),
            ("layers", layers, 0),
            ("convolutions", convolutions, 0),
        ):
            if number < least:
                raise InputError(f"BAM: {name} must be at least {least}, got {number}.")
        if combine not in _COMBINATIONS:
            raise unknown_name("BAM", "combination", combine, list(_COMBINATIONS))
        self.combine = combine
        self.channel = ChannelBranch(channels, hidden, layers=layers, final_norm=final_norm)
        self.spatial = SpatialBranch(
            channels,
            hidden,
            dilation=dilation,
            convolutions=convolutions,
            spatial_dims=spatial_dims,
            final_norm=final_norm,
        )
        self.map = Tap("spatial")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The attention itself: one weight in (0, 1) per item, channel and position."""
        return torch.sigmoid(_COMBINATIONS[self.combine](over_space(self.channel(x), x), self.spatial(x)))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * (1 + self.map(self.gate(x)))
