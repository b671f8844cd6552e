"""The head of AlexNet and VGG: fully connected layers over a map of fixed size, or over its mean."""

from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.dimensions import ADAPTIVE_AVERAGE_POOL


def average_grid(side: int, spatial_dims: int, hidden: int | None) -> nn.Module:
    """Means over a grid of ``side`` cells along each axis; of one cell where there are no hidden layers."""
    pool: nn.Module = ADAPTIVE_AVERAGE_POOL[spatial_dims](1 if hidden is None else side)
    return pool


class FlatHead(nn.Sequential):
    """A sequence of layers over all numbers of an item, without their places."""

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        return super().forward(x.flatten(1))
