"""Project-MONAI/MONAI: monai/networks/nets/attentionunet.py, its classes and the names of weights.

Those of squeeze and excitation are in `monai_se`.

As of MONAI 1.6.1. Every builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from saccade.attention.same_grid_gate import SameGridGate
from saccade.layers.convolution import DoubleConv
from saccade.layers.dimensions import BATCH_NORM
from saccade.networks.strided_attention_unet import StridedAttentionUNet, UpConv
from saccade.reference.adapters import SignalFirst
from saccade.reference.monai_se import SQUEEZE, SQUEEZE_PARTS
from saccade.reference.request import Request

Axes = int | Sequence[int]


def conv_block(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Axes = 3,
    strides: Axes = 1,
    dropout: float = 0.0,
) -> nn.Module:
    return DoubleConv(
        in_channels,
        out_channels,
        spatial_dims=spatial_dims,
        kernel_size=kernel_size,
        stride=strides,
        norm=lambda channels: nn.Sequential(BATCH_NORM[spatial_dims](channels), nn.Dropout(dropout)),
    )


def up_conv(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Axes = 3,
    strides: Axes = 2,
    dropout: float = 0.0,
) -> nn.Module:
    return UpConv(
        in_channels, out_channels, spatial_dims=spatial_dims, kernel_size=kernel_size, stride=strides, dropout=dropout
    )


def attention_block(
    request: Request, spatial_dims: int, f_int: int, f_g: int, f_l: int, dropout: float = 0.0
) -> nn.Module:
    return SignalFirst(SameGridGate(f_l, f_g, inner_channels=f_int, spatial_dims=spatial_dims))


def attention_unet(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    channels: Sequence[int],
    strides: Sequence[Axes],
    kernel_size: Axes = 3,
    up_kernel_size: Axes = 3,
    dropout: float = 0.0,
) -> nn.Module:
    return StridedAttentionUNet(
        in_channels,
        out_channels,
        spatial_dims=spatial_dims,
        channels=channels,
        strides=strides[: len(channels) - 1],
        kernel_size=kernel_size,
        up_kernel_size=up_kernel_size,
        dropout=dropout,
    )


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "AttentionBlock": attention_block,
    "AttentionUnet": attention_unet,
    "ConvBlock": conv_block,
    "UpConv": up_conv,
    **SQUEEZE,
}


def _network_names(module: Any) -> dict[str, str]:
    depth = len(module.decoder)
    found = {"encoder.0": "model.0", "head": "model.2.conv"}
    layer = "model.1"
    for i in range(depth):
        found[f"decoder.{i}.up"] = f"{layer}.upconv"
        found[f"decoder.{i}.gate"] = f"{layer}.attention"
        found[f"decoder.{i}.conv"] = f"{layer}.merge.conv"
        found[f"decoder.{i}.activation"] = f"{layer}.merge.adn.A"
        found[f"encoder.{i + 1}"] = f"{layer}.submodule" if i == depth - 1 else f"{layer}.submodule.0"
        layer = f"{layer}.submodule.1"
    return found


def _double_names(module: Any) -> dict[str, str]:
    places = {"first": "conv.0", "second": "conv.1"}
    convs = {f"{ours}.conv": f"{theirs}.conv" for ours, theirs in places.items()}
    return {**convs, **{f"{ours}.norm.0": f"{theirs}.adn.N" for ours, theirs in places.items()}}


def _gate_names(module: Any) -> dict[str, str]:
    places = {"from_signal": "W_g", "from_features": "W_x", "score": "psi"}
    convs = {f"{ours}.0": f"{theirs}.0.conv" for ours, theirs in places.items()}
    return {**convs, **{f"{ours}.1": f"{theirs}.1" for ours, theirs in places.items()}}


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    **SQUEEZE_PARTS,
    DoubleConv: _double_names,
    SameGridGate: _gate_names,
    SignalFirst: lambda _: {"gate": ""},
    StridedAttentionUNet: _network_names,
    UpConv: lambda _: {"conv": "up.conv", "norm.0": "up.adn.N"},
}
