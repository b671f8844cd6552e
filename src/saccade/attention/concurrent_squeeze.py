"""Channel and spatial attention side by side.

Concurrent spatial and channel squeeze and excitation (scSE): Roy et al., 2018, https://arxiv.org/abs/1803.02579, and
its extension in IEEE Transactions on Medical Imaging, 2019, https://arxiv.org/abs/1808.08127.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.spatial_squeeze import SpatialSqueezeExcitation
from saccade.attention.squeeze import SqueezeExcitation, hidden_units
from saccade.errors import unknown_name

_AGGREGATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "max": torch.maximum,
    "add": torch.add,
    "multiply": torch.mul,
    "concatenate": lambda a, b: torch.cat([a, b], 1),
}


class ConcurrentSqueezeExcitation(nn.Module):
    """Reweight features by channel and, apart from that, by position, and put the two together.

    ``y = a(cSE(x), sSE(x))`` where cSE is `SqueezeExcitation`, sSE is `SpatialSqueezeExcitation` and a is the
    aggregation. The maps are named ``channel.map`` and ``spatial.map``.

    Args:
        channels: Channels of the input.
        reduction: Of the channel part. Default 2, as in the paper.
        aggregation: ``max`` (default: the released code, and what the 2019 paper recommends), ``add`` (the 2018
            paper), ``multiply`` or ``concatenate`` (twice as many channels come out); element by element.
        bias: Whether the layers of both parts carry biases. Default True, as in the released code.

    Raises:
        InputError: If ``reduction`` is below 1 or above ``channels``, or for an unknown aggregation.

    >>> ConcurrentSqueezeExcitation(8, aggregation="concatenate")(torch.randn(2, 8, 5, 7)).shape
    torch.Size([2, 16, 5, 7])
    """

    def __init__(self, channels: int, *, reduction: int = 2, aggregation: str = "max", bias: bool = True) -> None:
        super().__init__()
        if aggregation not in _AGGREGATIONS:
            raise unknown_name("ConcurrentSqueezeExcitation", "aggregation", aggregation, list(_AGGREGATIONS))
        hidden_units("ConcurrentSqueezeExcitation", channels, reduction)  # checked here, so that the error names this
        self.aggregation = aggregation
        self.channel = SqueezeExcitation(channels, reduction=reduction, bias=bias)
        self.spatial = SpatialSqueezeExcitation(channels, bias=bias)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space"]:
        return _AGGREGATIONS[self.aggregation](self.channel(x), self.spatial(x))
