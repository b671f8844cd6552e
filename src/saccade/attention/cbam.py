"""Channel attention, then spatial attention, both from pooled descriptors.

Convolutional Block Attention Module: Woo et al., 2018, https://arxiv.org/abs/1807.06521.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.squeeze import hidden_units, over_space
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import BATCH_NORM, CONV, check_spatial_dims

# Of (b, c, positions). The maximum hands its gradient to the first of equal positions, as max-pooling does.
_POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": lambda flat: flat.mean(2),
    "max": lambda flat: flat.max(2).values,
    "lp": lambda flat: torch.linalg.vector_norm(flat, dim=2),
    "lse": lambda flat: flat.logsumexp(2),
}


class ChannelGate(nn.Module):
    """Multiply every channel by a number in (0, 1) computed from several global poolings.

    ``M_c = sigmoid(sum over pools of MLP(pool(x)))`` (eq. 2), ``y = M_c x``; the MLP is shared by the pools.

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r; the MLP has ``channels // reduction`` hidden units. Default 16, as in the paper.
        pools: Of ``average``, ``max`` (both the default, as in the paper), ``lp`` (the L2 norm over positions, not
            their mean) and ``lse`` (the logarithm of the sum of exponentials), which the released code knows too.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``, for no pool or an unknown one.
    """

    def __init__(self, channels: int, *, reduction: int = 16, pools: Sequence[str] = ("average", "max")) -> None:
        super().__init__()
        hidden = hidden_units("CBAM", channels, reduction)
        if not pools:
            raise InputError(f"CBAM: pools must name at least one of {', '.join(_POOLS)}, got none.")
        for pool in pools:
            if pool not in _POOLS:
                raise unknown_name("CBAM", "pool", pool, list(_POOLS))
        self.pools = tuple(pools)
        self.shrink = nn.Linear(channels, hidden)
        self.grow = nn.Linear(hidden, channels)
        self.map = Tap("channel")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        """The attention itself: one weight per item and channel."""
        flat = x.flatten(2)
        scores = [self.grow(torch.relu(self.shrink(_POOLS[pool](flat)))) for pool in self.pools]
        return torch.sigmoid(torch.stack(scores).sum(0))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * over_space(self.map(self.gate(x)), x)


class SpatialGate(nn.Module):
    """Multiply every position by a number in (0, 1) computed from its surroundings.

    ``M_s = sigmoid(f([max over channels; mean over channels]))`` (eq. 3) with a convolution f, ``y = M_s x``.

    Args:
        kernel_size: Of f, odd. Default 7, as in the paper.
        spatial_dims: 1, 2 or 3.
        batch_norm: Whether batch norm stands between f and the sigmoid, as in the released code (default); the paper
            has none.

    Raises:
        InputError: For an even kernel or one below 1, or a wrong ``spatial_dims``.

    Differs from the paper: the maximum is the first channel of the two, as in the released code.
    """

    def __init__(self, *, kernel_size: int = 7, spatial_dims: int = 2, batch_norm: bool = True) -> None:
        super().__init__()
        check_spatial_dims("CBAM", spatial_dims)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(f"CBAM: kernel_size must be an odd number of at least 1, got {kernel_size}.")
        self.conv = CONV[spatial_dims](2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        # The momentum of the released code.
        self.norm = BATCH_NORM[spatial_dims](1, momentum=0.01) if batch_norm else nn.Identity()
        self.map = Tap("spatial")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b 1 *space"]:
        """The attention itself: one weight per item and position."""
        seen = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
        return torch.sigmoid(self.norm(self.conv(seen)))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * self.map(self.gate(x))


class CBAM(nn.Module):
    """Reweight features by channel, then what comes out by position.

    ``F' = M_c(F) F``, ``F'' = M_s(F') F'`` (eq. 1), where M_c is `ChannelGate` and M_s is `SpatialGate`. The maps are
    named ``channel.map`` and ``spatial.map``.

    Args:
        channels: Channels of the input and of the output.
        reduction: The paper's r. Default 16, as in the paper.
        kernel_size: Of the spatial part, odd. Default 7, as in the paper.
        spatial_dims: 1, 2 or 3.
        pools: Of the channel part; see `ChannelGate`.
        spatial: Whether there is a spatial part. Default True.
        batch_norm: Of the spatial part; see `SpatialGate`.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``; for an even kernel, no pool or an unknown one, or
            a wrong ``spatial_dims``.

    >>> CBAM(32, spatial_dims=3)(torch.randn(2, 32, 5, 7, 3)).shape
    torch.Size([2, 32, 5, 7, 3])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        spatial_dims: int = 2,
        pools: Sequence[str] = ("average", "max"),
        spatial: bool = True,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction=reduction, pools=pools)
        self.spatial: nn.Module = (
            SpatialGate(kernel_size=kernel_size, spatial_dims=spatial_dims, batch_norm=batch_norm)
            if spatial
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return self.spatial(self.channel(x))
