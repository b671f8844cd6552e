"""ai-med/squeeze_and_excitation, the authors' code of scSE and project and excite, in two and three dimensions.

As of commit acdd26e. Every builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saccade.attention.concurrent_squeeze import ConcurrentSqueezeExcitation
from saccade.attention.project_excitation import ProjectExcitation
from saccade.attention.spatial_squeeze import SpatialSqueezeExcitation
from saccade.attention.squeeze import SqueezeExcitation
from saccade.errors import InputError
from saccade.layers.dimensions import CONV
from saccade.reference.request import Request


class FewShot(nn.Module):
    """Spatial squeeze and excitation that may be handed the weights of its convolution, which then has no bias.

    Given one vector for each item of a support set (n, c), their mean serves.
    """

    def __init__(self, layer: SpatialSqueezeExcitation) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is None:
            return self.layer(x)
        score = torch.einsum("b c ..., c -> b ...", x, weights.mean(0).flatten())
        return x * self.layer.map(torch.sigmoid(score)[:, None])


def channel(request: Request, num_channels: int, reduction_ratio: int = 2) -> nn.Module:
    return SqueezeExcitation(num_channels, reduction=reduction_ratio)


def spatial_2d(request: Request, num_channels: int | None = None) -> nn.Module:
    """Where the number of channels is left out, it is that of the weights."""
    known = request.state_shapes.get("conv.weight")
    if num_channels is None and known is None:
        raise InputError("from_reference: SpatialSELayer: num_channels must be given where there are no weights.")
    channels = num_channels if num_channels is not None or known is None else known[1]
    return FewShot(_spatial(channels, 2))  # type: ignore[arg-type]


def spatial_3d(request: Request, num_channels: int) -> nn.Module:
    """The published code cannot run with weights handed in."""
    return _spatial(num_channels, 3)


def _spatial(channels: int, dims: int) -> SpatialSqueezeExcitation:
    layer = SpatialSqueezeExcitation(channels)
    layer.score = CONV[dims](channels, 1, 1)  # the published weight's shape
    return layer


def _concurrent(dims: int) -> Callable[..., nn.Module]:
    def build(request: Request, num_channels: int, reduction_ratio: int = 2) -> nn.Module:
        layer = ConcurrentSqueezeExcitation(num_channels, reduction=reduction_ratio)
        layer.spatial = _spatial(num_channels, dims)
        return layer

    return build


def project(request: Request, num_channels: int, reduction_ratio: int = 2) -> nn.Module:
    layer = ProjectExcitation(num_channels, reduction=reduction_ratio)
    hidden = num_channels // reduction_ratio
    layer.shrink, layer.grow = nn.Conv3d(num_channels, hidden, 1), nn.Conv3d(hidden, num_channels, 1)
    return layer


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "ChannelSELayer": channel,
    "ChannelSELayer3D": channel,
    "ChannelSpatialSELayer": _concurrent(2),
    "ChannelSpatialSELayer3D": _concurrent(3),
    "ProjectExciteLayer": project,
    "SpatialSELayer": spatial_2d,
    "SpatialSELayer3D": spatial_3d,
}
PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    ConcurrentSqueezeExcitation: lambda _: {"channel": "cSE", "spatial": "sSE"},
    FewShot: lambda _: {"layer": ""},
    ProjectExcitation: lambda _: {"shrink": "conv_c", "grow": "conv_cT"},
    SpatialSqueezeExcitation: lambda _: {"score": "conv"},
    SqueezeExcitation: lambda _: {"shrink": "fc1", "grow": "fc2"},
}
