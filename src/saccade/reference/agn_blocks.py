"""Blocks of ozan-oktay/Attention-Gated-Networks: models/networks/utils.py and models/layers.

Every builder has the arguments of the class that `BLOCKS` names it for; those that the class ignores are ignored here.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.squeeze import SqueezeExcitation
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import ConvNormReLU, DoubleConv, kaiming_initialise_
from saccade.layers.dimensions import LINEAR_MODE
from saccade.layers.norm import Norm
from saccade.layers.resample import LinearUpsample, TransposedUpsample
from saccade.losses import cross_entropy_loss, published_dice_loss
from saccade.networks.unet import DecoderLevel
from saccade.reference.adapters import GateWithMap, Loss, PaddedSkip
from saccade.reference.request import Request

Axes = int | Sequence[int]
_VARIANTS = {
    "concatenation": "sigmoid",
    "concatenation_debug": "softplus",
    "concatenation_residual": "softmax",
}


class ConvChain(nn.Sequential):
    """Any number of `ConvNormReLU` in a row."""


class ClassMap(nn.Sequential):
    """A 1x1 convolution, then interpolation."""


class PooledSignal(nn.Sequential):
    """A convolution, a 4x4x4 mean grid, and a linear layer over all of it."""


def norm_of(is_batchnorm: bool) -> Norm:
    return "batch" if is_batchnorm else None


def variant_of(mode: str) -> str:
    """Our name of a mode of the published gates."""
    if mode not in _VARIANTS:
        raise unknown_name("from_reference", "mode", mode, list(_VARIANTS))
    return _VARIANTS[mode]


def conv2(
    request: Request,
    in_size: int,
    out_size: int,
    is_batchnorm: bool,
    n: int = 2,
    ks: Axes = 3,
    stride: Axes = 1,
    padding: Axes = 1,
) -> nn.Module:
    convs = [
        ConvNormReLU(
            in_size if i == 0 else out_size,
            out_size,
            spatial_dims=2,
            kernel_size=ks,
            stride=stride,
            padding=padding,
            norm=norm_of(is_batchnorm),
        )
        for i in range(n)
    ]
    return _started(ConvChain(*convs))


def conv3(
    request: Request,
    in_size: int,
    out_size: int,
    is_batchnorm: bool,
    kernel_size: Axes = (3, 3, 1),
    padding_size: Axes = (1, 1, 0),
    init_stride: Axes = (1, 1, 1),
) -> nn.Module:
    return _chain3(2, in_size, out_size, is_batchnorm, kernel_size, padding_size, init_stride)


def fcn_conv3(
    request: Request,
    in_size: int,
    out_size: int,
    is_batchnorm: bool,
    kernel_size: Axes = (3, 3, 1),
    padding_size: Axes = (1, 1, 0),
    init_stride: Axes = (1, 1, 1),
) -> nn.Module:
    return _chain3(3, in_size, out_size, is_batchnorm, kernel_size, padding_size, init_stride)


def _chain3(
    length: int, in_size: int, out_size: int, is_batchnorm: bool, kernel_size: Axes, padding: Axes, stride: Axes
) -> nn.Module:
    convs = [
        ConvNormReLU(
            in_size if i == 0 else out_size,
            out_size,
            kernel_size=kernel_size,
            stride=stride if i == 0 else 1,
            padding=padding,
            norm=norm_of(is_batchnorm),
        )
        for i in range(length)
    ]
    return _started(ConvChain(*convs))


def gating_signal3(request: Request, in_size: int, out_size: int, is_batchnorm: bool) -> nn.Module:
    half, grid = in_size // 2, (4, 4, 4)
    return _started(
        PooledSignal(
            ConvNormReLU(in_size, half, kernel_size=1, norm=norm_of(is_batchnorm)),
            nn.AdaptiveAvgPool3d(grid),
            nn.Flatten(),
            nn.Linear(half * prod(grid), out_size),
        )
    )


def grid_gating_signal3(
    request: Request, in_size: int, out_size: int, kernel_size: Axes = (1, 1, 1), is_batchnorm: bool = True
) -> nn.Module:
    norm = norm_of(is_batchnorm)
    return _started(ConvChain(ConvNormReLU(in_size, out_size, kernel_size=kernel_size, padding=0, norm=norm)))


def up2(request: Request, in_size: int, out_size: int, is_deconv: bool) -> nn.Module:
    refuse_without_deconv("unetUp", is_deconv)
    up = TransposedUpsample(in_size, out_size, factor=2, spatial_dims=2)
    return _started(PaddedSkip(DecoderLevel(up, DoubleConv(in_size, out_size, spatial_dims=2, norm=None)), 2))


def up3(request: Request, in_size: int, out_size: int, is_deconv: bool, is_batchnorm: bool = True) -> nn.Module:
    up = (
        TransposedUpsample(in_size, out_size, factor=(2, 2, 1))
        if is_deconv
        else LinearUpsample((2, 2, 1), align_corners=request.align_corners)
    )
    into = in_size if is_deconv else in_size + out_size
    conv = DoubleConv(into, out_size, kernel_size=(3, 3, 1), norm=norm_of(is_batchnorm))
    return _started(PaddedSkip(DecoderLevel(up, conv), 2))


def up3_ct(request: Request, in_size: int, out_size: int, is_batchnorm: bool = True) -> nn.Module:
    conv = DoubleConv(in_size + out_size, out_size, norm=norm_of(is_batchnorm))
    up = LinearUpsample((2, 2, 2), align_corners=request.align_corners)
    return _started(PaddedSkip(DecoderLevel(up, conv), 2))


def up3_squeezed(request: Request, in_size: int, out_size: int, is_deconv: bool, is_batchnorm: bool) -> nn.Module:
    if is_deconv:
        raise InputError("from_reference: UnetUp3_SqEx: the published code cannot run with is_deconv=True.")
    both = in_size + out_size
    conv = DoubleConv(both, out_size, kernel_size=(3, 3, 1), norm=norm_of(is_batchnorm))
    up = LinearUpsample((2, 2, 1), align_corners=request.align_corners)
    return _started(PaddedSkip(DecoderLevel(up, nn.Sequential(squeeze(request, both), conv)), 2))


def dsv3(request: Request, in_size: int, out_size: int, scale_factor: Axes) -> nn.Module:
    factor = scale_factor if isinstance(scale_factor, int | float) else tuple(scale_factor)
    up = nn.Upsample(scale_factor=factor, mode=LINEAR_MODE[3], align_corners=request.align_corners)
    return ClassMap(nn.Conv3d(in_size, out_size, 1), up)


def squeeze(request: Request, n_features: int, reduction: int = 6) -> nn.Module:
    if n_features % reduction:
        raise InputError(f"from_reference: SqEx: reduction must divide n_features ({n_features}), got {reduction}.")
    return SqueezeExcitation(n_features, reduction=reduction, bias=False)


def grid_attention2(
    request: Request,
    in_channels: int,
    gating_channels: int,
    inter_channels: int | None = None,
    mode: str = "concatenation",
    sub_sample_factor: Axes = (2, 2),
) -> nn.Module:
    gate = _gate(request, 2, in_channels, gating_channels, inter_channels, mode, sub_sample_factor)
    return _started(GateWithMap(gate))


def grid_attention3(
    request: Request,
    in_channels: int,
    gating_channels: int,
    inter_channels: int | None = None,
    mode: str = "concatenation",
    sub_sample_factor: Axes = (2, 2, 2),
) -> nn.Module:
    gate = _gate(request, 3, in_channels, gating_channels, inter_channels, mode, sub_sample_factor)
    return _started(GateWithMap(gate))


def multi_attention(
    request: Request, in_size: int, gate_size: int, inter_size: int, nonlocal_mode: str, sub_sample_factor: Axes
) -> nn.Module:
    """Two files define this class, one with a single gate; the weights' names tell which is meant."""
    keys = request.state_keys
    single = keys is not None and not any(key.startswith("gate_block_2.") for key in keys)
    return _multi(1 if single else 2, request, in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor)


def multi_attention_of_two(
    request: Request, in_size: int, gate_size: int, inter_size: int, nonlocal_mode: str, sub_sample_factor: Axes
) -> nn.Module:
    return _multi(2, request, in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor)


def multi_attention_of_one(
    request: Request, in_size: int, gate_size: int, inter_size: int, nonlocal_mode: str, sub_sample_factor: Axes
) -> nn.Module:
    return _multi(1, request, in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor)


def _multi(
    count: int, request: Request, in_size: int, gate_size: int, inter_size: int, mode: str, subsample: Axes
) -> nn.Module:
    gates = [_gate(request, 3, in_size, gate_size, inter_size, mode, subsample) for _ in range(count)]
    return _started(GateWithMap(MultiAttentionGate(gates)))


def _gate(
    request: Request,
    spatial_dims: int,
    in_channels: int,
    gating_channels: int,
    inner_channels: int | None,
    mode: str,
    subsample: Axes,
) -> AttentionGate:
    return AttentionGate(
        in_channels,
        gating_channels,
        inner_channels=inner_channels,
        spatial_dims=spatial_dims,
        subsample=subsample,
        variant=variant_of(mode),
        align_corners=request.align_corners,
    )


def soft_dice(request: Request, n_classes: int) -> nn.Module:
    return Loss(published_dice_loss)


def custom_soft_dice(request: Request, n_classes: int, class_ids: Sequence[int]) -> nn.Module:
    return Loss(lambda scores, target: published_dice_loss(scores, target, class_ids=class_ids))


def cross_entropy(request: Request) -> nn.Module:
    def loss(scores: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool = True) -> Tensor:
        return cross_entropy_loss(scores, target, class_weights=weight, mean=size_average)

    return Loss(loss)


def refuse_without_deconv(who: str, is_deconv: bool) -> None:
    """The published 2D decoder gives its convolution more channels than it was built for, unless is_deconv is set."""
    if not is_deconv:
        raise InputError(f"from_reference: {who}: the published code cannot run with is_deconv=False.")


def _started(module: nn.Module) -> nn.Module:
    kaiming_initialise_(module)
    return module


BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "CustomSoftDiceLoss": custom_soft_dice,
    "FCNConv3": fcn_conv3,
    "GridAttentionBlock2D": grid_attention2,
    "GridAttentionBlock3D": grid_attention3,
    "MultiAttentionBlock": multi_attention,
    "MultiAttentionBlock (models/networks/unet_CT_multi_att_dsv_3D.py)": multi_attention_of_two,
    "MultiAttentionBlock (models/networks/unet_CT_single_att_dsv_3D.py)": multi_attention_of_one,
    "SoftDiceLoss": soft_dice,
    "SqEx": squeeze,
    "UnetConv3": conv3,
    "UnetDsv3": dsv3,
    "UnetGatingSignal3": gating_signal3,
    "UnetGridGatingSignal3": grid_gating_signal3,
    "UnetUp3": up3,
    "UnetUp3_CT": up3_ct,
    "UnetUp3_SqEx": up3_squeezed,
    "cross_entropy_2D": cross_entropy,
    "cross_entropy_3D": cross_entropy,
    "unetConv2": conv2,
    "unetUp": up2,
}


def _chain_names(module: Any) -> dict[str, str]:
    convs = {f"{i}.conv": f"conv{i + 1}.0" for i in range(len(module))}
    return {**convs, **{f"{i}.norm": f"conv{i + 1}.1" for i in range(len(module))}}


def _multi_gate_names(module: Any) -> dict[str, str]:
    gates = {f"gates.{i}": f"gate_block_{i + 1}" for i in range(len(module.gates))}
    return {**gates, "combine.conv": "combine_gates.0", "combine.norm": "combine_gates.1"}


def _decoder_names(module: Any) -> dict[str, str]:
    up = {"up.conv": "up"} if isinstance(module.up, TransposedUpsample) else {}
    if isinstance(module.conv, nn.Sequential):
        return {**up, "conv.0": "sqex", "conv.1": "conv"}
    return {**up, "conv": "conv"}


BLOCK_PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    AttentionGate: lambda _: {"theta": "theta", "phi": "phi", "psi": "psi", "transform": "W"},
    ClassMap: lambda _: {"0": "dsv.0"},
    ConvChain: _chain_names,
    DecoderLevel: _decoder_names,
    DoubleConv: lambda _: {
        "first.conv": "conv1.0",
        "first.norm": "conv1.1",
        "second.conv": "conv2.0",
        "second.norm": "conv2.1",
    },
    GateWithMap: lambda _: {"gate": ""},
    MultiAttentionGate: _multi_gate_names,
    PaddedSkip: lambda _: {"level": ""},
    PooledSignal: lambda _: {"0.conv": "conv1.0", "0.norm": "conv1.1", "3": "fc1"},
    SqueezeExcitation: lambda _: {"shrink": "linear1", "grow": "linear2"},
}
