"""Project-MONAI/MONAI: monai/networks/blocks/squeeze_and_excitation.py.

As of MONAI 1.6.1. Every builder has the arguments of the class that `SQUEEZE` names it for.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from saccade.attention.squeeze import SqueezeExcitation
from saccade.errors import unknown_name
from saccade.layers.dimensions import CONV, check_spatial_dims
from saccade.reference.monai_layers import Named, activation, convolution
from saccade.reference.request import Request

Parameters = Mapping[str, Any] | None
_RELU = ("relu", {"inplace": True})


class SEBlock(nn.Module):
    """Three convolutions and squeeze-and-excitation beside a way past them, then an activation."""

    def __init__(
        self, convs: tuple[nn.Module, nn.Module, nn.Module], squeeze: nn.Module, project: nn.Module, act: nn.Module
    ) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = convs
        self.se_layer, self.project, self.act = squeeze, project, act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.se_layer(self.conv3(self.conv2(self.conv1(x)))) + self.project(x))


def channel(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    r: int = 2,
    acti_type_1: Named = _RELU,
    acti_type_2: Named = "sigmoid",
    add_residual: bool = False,
) -> nn.Module:
    check_spatial_dims("from_reference: ChannelSELayer", spatial_dims)
    return SqueezeExcitation(
        in_channels,
        reduction=r,
        activation=activation(acti_type_1),
        gate_activation=activation(acti_type_2),
        residual=add_residual,
    )


def residual(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    r: int = 2,
    acti_type_1: Named = "leakyrelu",
    acti_type_2: Named = "relu",
) -> nn.Module:
    return channel(request, spatial_dims, in_channels, r, acti_type_1, acti_type_2, add_residual=True)


def block(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    n_chns_1: int,
    n_chns_2: int,
    n_chns_3: int,
    conv_param_1: Parameters = None,
    conv_param_2: Parameters = None,
    conv_param_3: Parameters = None,
    project: nn.Module | None = None,
    r: int = 2,
    acti_type_1: Named = _RELU,
    acti_type_2: Named = "sigmoid",
    acti_type_final: Named | None = _RELU,
) -> nn.Module:
    check_spatial_dims("from_reference: SEBlock", spatial_dims)
    convs = (
        _convolution(spatial_dims, in_channels, n_chns_1, conv_param_1 or _plain(1)),
        _convolution(spatial_dims, n_chns_1, n_chns_2, conv_param_2 or _plain(3)),
        _convolution(spatial_dims, n_chns_2, n_chns_3, conv_param_3 or _plain(1, act=None)),
    )
    squeeze = channel(request, spatial_dims, n_chns_3, r, acti_type_1, acti_type_2)
    if project is None:
        project = nn.Identity() if in_channels == n_chns_3 else CONV[spatial_dims](in_channels, n_chns_3, 1)
    return SEBlock(convs, squeeze, project, nn.Identity() if acti_type_final is None else activation(acti_type_final)())


def bottleneck(
    request: Request,
    spatial_dims: int,
    inplanes: int,
    planes: int,
    groups: int,
    reduction: int,
    stride: int = 1,
    downsample: nn.Module | None = None,
) -> nn.Module:
    inner = planes * 2, planes * 4
    return _bottleneck(request, spatial_dims, inplanes, planes, inner, groups, reduction, (1, stride), downsample)


def resnet_bottleneck(
    request: Request,
    spatial_dims: int,
    inplanes: int,
    planes: int,
    groups: int,
    reduction: int,
    stride: int = 1,
    downsample: nn.Module | None = None,
) -> nn.Module:
    inner = planes, planes
    return _bottleneck(request, spatial_dims, inplanes, planes, inner, groups, reduction, (stride, 1), downsample)


def resnext_bottleneck(
    request: Request,
    spatial_dims: int,
    inplanes: int,
    planes: int,
    groups: int,
    reduction: int,
    stride: int = 1,
    downsample: nn.Module | None = None,
    base_width: int = 4,
) -> nn.Module:
    width = int(planes * (base_width / 64)) * groups
    inner = width, width
    return _bottleneck(request, spatial_dims, inplanes, planes, inner, groups, reduction, (1, stride), downsample)


def _bottleneck(
    request: Request,
    spatial_dims: int,
    into: int,
    planes: int,
    inner: tuple[int, int],
    groups: int,
    reduction: int,
    strides: tuple[int, int],
    downsample: nn.Module | None,
) -> nn.Module:
    return block(
        request,
        spatial_dims,
        into,
        *inner,
        planes * 4,
        _plain(1, strides=strides[0], bias=False),
        _plain(3, strides=strides[1], groups=groups, bias=False),
        _plain(1, act=None, bias=False),
        downsample,
        reduction,
    )


def _plain(kernel_size: int, **further: Any) -> dict[str, Any]:
    return {"kernel_size": kernel_size, "norm": "batch", "act": _RELU, **further}


def _convolution(spatial_dims: int, into: int, out: int, parameters: Mapping[str, Any]) -> nn.Module:
    known = list(inspect.signature(convolution).parameters)[3:]
    for name in parameters:
        if name not in known:
            raise unknown_name("from_reference", "argument of Convolution", name, known)
    return convolution(spatial_dims, into, out, **parameters)


SQUEEZE: dict[str, Callable[..., nn.Module]] = {
    "ChannelSELayer": channel,
    "ResidualSELayer": residual,
    "SEBlock": block,
    "SEBottleneck": bottleneck,
    "SEResNeXtBottleneck": resnext_bottleneck,
    "SEResNetBottleneck": resnet_bottleneck,
}
SQUEEZE_PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    SEBlock: lambda module: {name: name for name, _ in module.named_children()},
    SqueezeExcitation: lambda _: {
        "shrink": "fc.0",
        "activation": "fc.1",
        "grow": "fc.2",
        "gate_activation": "fc.3",
    },
}
