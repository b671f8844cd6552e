"""Jongchan/attention-module, the authors' code of CBAM and BAM: MODELS/cbam.py and MODELS/bam.py.

As of commit 5d3a54a. Both files define ChannelGate and SpatialGate; the arguments tell which is meant, or the file in
brackets. Every builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from saccade.attention.bam import BAM, ChannelBranch, SpatialBranch
from saccade.attention.cbam import CBAM, ChannelGate, SpatialGate
from saccade.attention.squeeze import hidden_units
from saccade.errors import InputError, unknown_name
from saccade.reference.request import Request

_POOLS = {"avg": "average", "max": "max", "lp": "lp", "lse": "lse"}
_AVERAGE_AND_MAX = ("avg", "max")


class OnGrid(nn.Module):
    """A branch whose scores are repeated over all channels and positions of its input."""

    def __init__(self, branch: ChannelBranch | SpatialBranch) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        scores = self.branch(x)
        return scores.reshape(*scores.shape, *[1] * (x.ndim - scores.ndim)).expand_as(x)


def cbam(
    request: Request,
    gate_channels: int,
    reduction_ratio: int = 16,
    pool_types: Sequence[str] = _AVERAGE_AND_MAX,
    no_spatial: bool = False,
) -> nn.Module:
    return CBAM(gate_channels, reduction=reduction_ratio, pools=_pools(pool_types), spatial=not no_spatial)


def cbam_channel_gate(
    request: Request, gate_channels: int, reduction_ratio: int = 16, pool_types: Sequence[str] = _AVERAGE_AND_MAX
) -> nn.Module:
    return ChannelGate(gate_channels, reduction=reduction_ratio, pools=_pools(pool_types))


def cbam_spatial_gate(request: Request) -> nn.Module:
    return SpatialGate()


def bam(request: Request, gate_channel: int, reduction_ratio: int = 16) -> nn.Module:
    return BAM(gate_channel, reduction=reduction_ratio, combine="product", final_norm=False)


def bam_channel_gate(request: Request, gate_channel: int, reduction_ratio: int = 16, num_layers: int = 1) -> nn.Module:
    hidden = hidden_units("from_reference: ChannelGate", gate_channel, reduction_ratio)
    return OnGrid(ChannelBranch(gate_channel, hidden, layers=num_layers, final_norm=False))


def bam_spatial_gate(
    request: Request,
    gate_channel: int,
    reduction_ratio: int = 16,
    dilation_conv_num: int = 2,
    dilation_val: int = 4,
) -> nn.Module:
    hidden = hidden_units("from_reference: SpatialGate", gate_channel, reduction_ratio)
    return OnGrid(
        SpatialBranch(gate_channel, hidden, dilation=dilation_val, convolutions=dilation_conv_num, final_norm=False)
    )


def channel_gate(
    request: Request,
    gate_channels: int | None = None,
    gate_channel: int | None = None,
    reduction_ratio: int = 16,
    pool_types: Sequence[str] | None = None,
    num_layers: int | None = None,
) -> nn.Module:
    """CBAM's when ``gate_channels`` is given, BAM's when ``gate_channel`` is."""
    if gate_channels is not None and gate_channel is None and num_layers is None:
        return cbam_channel_gate(request, gate_channels, reduction_ratio, pool_types or _AVERAGE_AND_MAX)
    if gate_channel is not None and gate_channels is None and pool_types is None:
        return bam_channel_gate(request, gate_channel, reduction_ratio, 1 if num_layers is None else num_layers)
    raise InputError(
        "from_reference: ChannelGate: two files define it: give gate_channels (and pool_types) for MODELS/cbam.py, "
        "or gate_channel (and num_layers) for MODELS/bam.py."
    )


def spatial_gate(
    request: Request,
    gate_channel: int | None = None,
    reduction_ratio: int = 16,
    dilation_conv_num: int = 2,
    dilation_val: int = 4,
) -> nn.Module:
    """CBAM's, which takes no arguments, or BAM's when ``gate_channel`` is given."""
    if gate_channel is not None:
        return bam_spatial_gate(request, gate_channel, reduction_ratio, dilation_conv_num, dilation_val)
    if (reduction_ratio, dilation_conv_num, dilation_val) != (16, 2, 4):
        raise InputError(
            "from_reference: SpatialGate: MODELS/bam.py's needs gate_channel; MODELS/cbam.py's takes none."
        )
    return cbam_spatial_gate(request)


def _pools(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in _POOLS:
            raise unknown_name("from_reference", "pool type", name, list(_POOLS))
    return [_POOLS[name] for name in names]


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "BAM": bam,
    "CBAM": cbam,
    "ChannelGate": channel_gate,
    "ChannelGate (MODELS/bam.py)": bam_channel_gate,
    "ChannelGate (MODELS/cbam.py)": cbam_channel_gate,
    "SpatialGate": spatial_gate,
    "SpatialGate (MODELS/bam.py)": bam_spatial_gate,
    "SpatialGate (MODELS/cbam.py)": cbam_spatial_gate,
}


def _cbam_names(module: Any) -> dict[str, str]:
    spatial = {"spatial": "SpatialGate"} if isinstance(module.spatial, SpatialGate) else {}
    return {"channel": "ChannelGate", **spatial}


def _channel_names(module: Any) -> dict[str, str]:
    """Linear, norm and ReLU take turns; the last linear layer has its own name."""
    last = len(module) - 1
    found = {f"{3 * i}": f"gate_c.gate_c_fc_{i}" for i in range(last // 3)}
    found |= {f"{3 * i + 1}": f"gate_c.gate_c_bn_{i + 1}" for i in range(last // 3)}
    return {**found, f"{last}": "gate_c.gate_c_fc_final"}


def _spatial_names(module: Any) -> dict[str, str]:
    """Convolution, norm and ReLU take turns; the first and the last convolution have their own names."""
    last = len(module) - 1
    found = {"0": "gate_s.gate_s_conv_reduce0", "1": "gate_s.gate_s_bn_reduce0"}
    for i in range(last // 3 - 1):
        found[f"{3 * i + 3}"] = f"gate_s.gate_s_conv_di_{i}"
        found[f"{3 * i + 4}"] = f"gate_s.gate_s_bn_di_{i}"
    return {**found, f"{last}": "gate_s.gate_s_conv_final"}


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    BAM: lambda _: {"channel": "channel_att", "spatial": "spatial_att"},
    CBAM: _cbam_names,
    ChannelBranch: _channel_names,
    ChannelGate: lambda _: {"shrink": "mlp.1", "grow": "mlp.3"},
    OnGrid: lambda _: {"branch": ""},
    SpatialBranch: _spatial_names,
    SpatialGate: lambda _: {"conv": "spatial.conv", "norm": "spatial.bn"},
}
