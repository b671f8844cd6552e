"""SonoNet and AG-SonoNet of ozan-oktay/Attention-Gated-Networks: models/networks/sononet*.py, and the units they use.

As of commit eee4881. Every builder has the arguments of the class that `SONONET` names it for. Two slips of the
published code are not here: its default ``aggregation_mode`` calls a method by a misspelt name, and its default
``nonlocal_mode`` is none that its gate knows, which is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from saccade.errors import InputError, unknown_name
from saccade.networks.ag_sononet import AGSonoNet
from saccade.networks.sononet import SonoNet
from saccade.reference.agn_blocks import norm_of
from saccade.reference.agn_torr import variant_of_torr
from saccade.reference.request import Request

_AGGREGATIONS = {"concat": "concat", "mean": "mean", "deep_sup": "deep_supervision", "ft": "fine_tuned"}


class ScoresOfHeads(nn.Module):
    """The scores of all heads in a list, or of the only one, as the published network returns them."""

    def __init__(self, network: AGSonoNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        scores = self.network.scores(x)
        return scores if len(scores) > 1 else scores[0]


class ConvNorm(nn.Sequential):
    """A convolution and batch norm, with or without a ReLU behind them."""


def sononet(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    in_channels: int = 3,
    is_batchnorm: bool = True,
    n_convs: Sequence[int] | None = None,
) -> nn.Module:
    return SonoNet(
        in_channels,
        n_classes,
        channels=_channels(feature_scale),
        convolutions=_convolutions(n_convs, (2, 2, 3, 3, 3)),
        norm=norm_of(is_batchnorm),
    )


def sononet2(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    in_channels: int = 3,
    is_batchnorm: bool = True,
) -> nn.Module:
    return sononet(request, feature_scale, n_classes, in_channels, is_batchnorm, (3, 3, 3, 2, 2))


def sononet_grid_attention(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    in_channels: int = 3,
    is_batchnorm: bool = True,
    n_convs: Sequence[int] | None = None,
    nonlocal_mode: str = "concatenation",
    aggregation_mode: str = "concat",
) -> nn.Module:
    if aggregation_mode not in _AGGREGATIONS:
        raise unknown_name("from_reference", "aggregation_mode", aggregation_mode, list(_AGGREGATIONS))
    network = AGSonoNet(
        in_channels,
        n_classes,
        channels=_channels(feature_scale),
        convolutions=_convolutions(n_convs, (3, 3, 3, 2, 2)),
        norm=norm_of(is_batchnorm),
        variant=variant_of_torr(nonlocal_mode),
        aggregation=_AGGREGATIONS[aggregation_mode],
    )
    gate: Any
    for gate in network.gates:
        gate.align_corners = request.align_corners
    return ScoresOfHeads(network)


def _unit(transposed: bool, relu: bool) -> Callable[..., nn.Module]:
    conv = nn.ConvTranspose2d if transposed else nn.Conv2d

    def build(
        request: Request,
        in_channels: int | float,
        n_filters: int | float,
        k_size: int | Sequence[int],
        stride: int | Sequence[int],
        padding: int | Sequence[int],
        bias: bool = True,
    ) -> nn.Module:
        kernel, step, margin = (n if isinstance(n, int) else tuple(n) for n in (k_size, stride, padding))
        layer: Any = conv
        out = int(n_filters)
        parts = [layer(int(in_channels), out, kernel, stride=step, padding=margin, bias=bias), nn.BatchNorm2d(out)]
        return ConvNorm(*parts, *([nn.ReLU()] if relu else []))

    return build


def _channels(feature_scale: int | float) -> list[int]:
    return [int(width / feature_scale) for width in (64, 128, 256, 512, 512)]


def _convolutions(n_convs: Sequence[int] | None, default: Sequence[int]) -> Sequence[int]:
    """The published networks look at the first five numbers."""
    if n_convs is None:
        return default
    if len(n_convs) < len(default):
        raise InputError(f"from_reference: n_convs must be {len(default)} numbers, got {len(n_convs)}.")
    return n_convs[: len(default)]


SONONET: dict[str, Callable[..., nn.Module]] = {
    "conv2DBatchNorm": _unit(transposed=False, relu=False),
    "conv2DBatchNormRelu": _unit(transposed=False, relu=True),
    "deconv2DBatchNorm": _unit(transposed=True, relu=False),
    "deconv2DBatchNormRelu": _unit(transposed=True, relu=True),
    "sononet": sononet,
    "sononet2": sononet2,
    "sononet_grid_attention": sononet_grid_attention,
}


def _unit_names(module: Any) -> dict[str, str]:
    transposed, relu = isinstance(module[0], nn.ConvTranspose2d), len(module) == 3
    unit = f"{'d' if transposed else ''}cb{'r' if relu else ''}_unit"
    return {"0": f"{unit}.0", "1": f"{unit}.1"}


def _block_names(module: Any) -> dict[str, str]:
    return {
        f"features.blocks.{i}.{j}.{part}": f"conv{i + 1}.conv{j + 1}.{index}"
        for i, block in enumerate(module.features.blocks)
        for j in range(len(block))
        for index, part in enumerate(("conv", "norm"))
    }


def _sononet_names(module: Any) -> dict[str, str]:
    return {
        **_block_names(module),
        "adapt.conv": "conv5_p.cbr_unit.0",
        "adapt.norm": "conv5_p.cbr_unit.1",
        "classify": "conv6_p.cb_unit",
    }


def _ag_sononet_names(module: Any) -> dict[str, str]:
    found = {**_block_names(module), **{f"gates.{i}": f"compatibility_score{i + 1}" for i in range(2)}}
    found |= {f"heads.{i}": f"classifier{i + 1}" for i in range(len(module.heads))}
    return found | ({"head": "classifier"} if hasattr(module, "head") else {})


SONONET_PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    AGSonoNet: _ag_sononet_names,
    ConvNorm: _unit_names,
    ScoresOfHeads: lambda _: {"network": ""},
    SonoNet: _sononet_names,
}
