"""ozan-oktay/Attention-Gated-Networks, the authors' code of Attention U-Net: its networks and the names of weights.

As of commit eee4881, and the first version of the multi-gate network as of 4a36328 (2018-04-02). Every builder has the
arguments of the class that `CLASSES` names it for; those that the class ignores are ignored here.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.layers.convolution import ConvNormReLU
from saccade.layers.resample import Upsampling
from saccade.networks.attention_unet import AttentionUNet, Gates
from saccade.networks.non_local_unet import NonLocalUNet
from saccade.networks.unet import FinestHead, UNet
from saccade.reference.agn_blocks import BLOCK_PARTS, BLOCKS, Axes, norm_of, refuse_without_deconv, variant_of
from saccade.reference.agn_non_local import NON_LOCAL, NON_LOCAL_PARTS
from saccade.reference.agn_sononet import SONONET, SONONET_PARTS
from saccade.reference.agn_torr import TORR
from saccade.reference.request import Request

_IN_PLANE = ((2, 2, 1),) * 4


def _widths(feature_scale: int | float) -> list[int]:
    return [int(width / feature_scale) for width in (64, 128, 256, 512, 1024)]


def _upsampling(request: Request, is_deconv: bool) -> Upsampling:
    return Upsampling("transposed" if is_deconv else "linear", request.align_corners)


def unet_2d(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    is_deconv: bool = True,
    in_channels: int = 3,
    is_batchnorm: bool = True,
) -> nn.Module:
    refuse_without_deconv("unet_2D", is_deconv)
    network = UNet(
        in_channels,
        n_classes,
        spatial_dims=2,
        channels=_widths(feature_scale),
        deep_supervision=False,
        norm=norm_of(is_batchnorm),
        upsampling="transposed",
    )
    for block in network.decoder.modules():  # the published 2D decoder never has batch norm
        if isinstance(block, ConvNormReLU):
            block.norm = nn.Identity()
    return network


def unet_3d(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    is_deconv: bool = True,
    in_channels: int = 3,
    is_batchnorm: bool = True,
) -> nn.Module:
    return UNet(
        in_channels,
        n_classes,
        channels=_widths(feature_scale),
        pooling=_IN_PLANE,
        deep_supervision=False,
        norm=norm_of(is_batchnorm),
        upsampling=_upsampling(request, is_deconv),
    )


def unet_ct_dsv(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    is_deconv: bool = True,
    in_channels: int = 3,
    is_batchnorm: bool = True,
) -> nn.Module:
    return UNet(
        in_channels,
        n_classes,
        channels=_widths(feature_scale),
        norm=norm_of(is_batchnorm),
        upsampling=_upsampling(request, is_deconv=False),
    )


def _attention_unet(
    signal: str, count: int, *, grid: bool = False
) -> Callable[[Request, int | float, int, bool, int, str, Axes, bool], nn.Module]:
    def build(
        request: Request,
        feature_scale: int | float = 4,
        n_classes: int = 21,
        is_deconv: bool = True,
        in_channels: int = 3,
        nonlocal_mode: str = "concatenation",
        attention_dsample: Axes = (2, 2, 2),
        is_batchnorm: bool = True,
    ) -> nn.Module:
        gates = Gates(
            signal=signal,
            count=count,
            combine=not grid,
            variant=variant_of(nonlocal_mode),
            subsample=attention_dsample,
            norm="batch",  # whatever is_batchnorm says
            upsampling=_upsampling(request, is_deconv and grid),
        )
        return AttentionUNet(
            in_channels,
            n_classes,
            channels=_widths(feature_scale),
            pooling=_IN_PLANE if grid else 2,
            deep_supervision=not grid,
            norm=norm_of(is_batchnorm),
            gates=gates,
        )

    return build


CLASSES: dict[str, Callable[..., nn.Module]] = {
    **BLOCKS,
    **TORR,
    **NON_LOCAL,
    **SONONET,
    "unet_2D": unet_2d,
    "unet_3D": unet_3d,
    "unet_CT_dsv_3D": unet_ct_dsv,
    "unet_CT_multi_att_dsv_3D": _attention_unet("below", 2),
    "unet_CT_multi_att_dsv_3D (version of 2018-04-02)": _attention_unet("bottom", 2),
    "unet_CT_single_att_dsv_3D": _attention_unet("below", 1),
    "unet_grid_attention_3D": _attention_unet("bottom", 1, grid=True),
}


def _unet_names(module: Any) -> dict[str, str]:
    levels = range(len(module.encoder))
    found = {f"encoder.{i}": f"conv{i + 1}" for i in levels}
    found["bottom"] = "center"
    found |= {f"decoder.{i}": f"up_concat{i + 1}" for i in levels}
    if isinstance(module.head, FinestHead):
        return {**found, "head.classify": "final"}
    found |= {f"head.classify.{i}": f"dsv{i + 1}.dsv.0" if i else "dsv1" for i in levels}
    return {**found, "head.mix": "final"}


def _attention_unet_names(module: Any) -> dict[str, str]:
    gates = {f"gates.{i}": f"attentionblock{i + 2}" for i in range(len(module.gates))}
    return {**_unet_names(module), **gates, "gating.conv": "gating.conv1.0", "gating.norm": "gating.conv1.1"}


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    **BLOCK_PARTS,
    **NON_LOCAL_PARTS,
    **SONONET_PARTS,
    UNet: _unet_names,
    AttentionUNet: _attention_unet_names,
    NonLocalUNet: lambda module: {
        **_unet_names(module),
        **{f"blocks.{i}": f"nonlocal{int(i) + 1}" for i in module.blocks},
    },
}
