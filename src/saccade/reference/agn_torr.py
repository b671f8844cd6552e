"""The self-gated blocks of AG-SonoNet in ozan-oktay/Attention-Gated-Networks: models/layers/grid_attention_layer.py.

Every builder has the arguments of the class that `TORR` names it for.
"""

from collections.abc import Callable

from torch import nn

from saccade.attention.gate import AttentionGate
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import kaiming_initialise_
from saccade.layers.dimensions import CONV
from saccade.networks.ag_sononet import FIRST_BIAS
from saccade.reference.adapters import GateWithMap
from saccade.reference.agn_blocks import Axes
from saccade.reference.request import Request

_VARIANTS = {
    "concatenation_softmax": "softmax",
    "concatenation_sigmoid": "sigmoid",
    "concatenation_mean": "mean",
    "concatenation_range_normalise": "range",
    "concatenation_mean_flow": "mean_flow",
}


def variant_of_torr(mode: str) -> str:
    """Our name of a mode of the published gates."""
    if mode == "concatenation":
        raise InputError(
            "from_reference: GridAttentionBlock_TORR: the published code cannot run with its default mode "
            f"'concatenation'. Choose one of {', '.join(_VARIANTS)}."
        )
    if mode not in _VARIANTS:
        raise unknown_name("from_reference", "mode", mode, list(_VARIANTS))
    return _VARIANTS[mode]


def torr_2d(
    request: Request,
    in_channels: int,
    gating_channels: int,
    inter_channels: int | None = None,
    mode: str = "concatenation",
    sub_sample_factor: Axes = (1, 1),
    bn_layer: bool = True,
    use_W: bool = True,
    use_phi: bool = True,
    use_theta: bool = True,
    use_psi: bool = True,
    nonlinearity1: str | None = "relu",
) -> nn.Module:
    inner = max(in_channels // 2, 1) if inter_channels is None else inter_channels
    wide = in_channels if not use_theta else inner, gating_channels if not use_phi else inner
    _refuse_misfits(in_channels, inner, wide, mode, use_psi)
    gate = _gate(request, 2, in_channels, gating_channels, inner, mode, sub_sample_factor, use_W, bn_layer)
    if nonlinearity1 != "relu":
        gate.activation = nn.Identity()
    if not use_phi:
        gate.phi = nn.Identity()
    if not use_theta:
        gate.theta, gate.subsample = nn.Identity(), (1, 1)
    if not use_psi:
        gate.psi = nn.Identity()
    return _started(gate)


def torr_3d(
    request: Request,
    in_channels: int,
    gating_channels: int,
    inter_channels: int | None = None,
    mode: str = "concatenation",
    sub_sample_factor: Axes = (1, 1, 1),
    bn_layer: bool = True,
) -> nn.Module:
    inner = max(in_channels // 2, 1) if inter_channels is None else inter_channels
    gate = _gate(request, 3, in_channels, gating_channels, inner, mode, sub_sample_factor, True, bn_layer)
    return _started(gate)


def _gate(
    request: Request,
    dims: int,
    in_channels: int,
    gating_channels: int,
    inner: int,
    mode: str,
    step: Axes,
    use_W: bool,
    bn_layer: bool,
) -> AttentionGate:
    variant = variant_of_torr(mode)
    transform: Callable[[int], nn.Module] | None = None  # with batch norm
    if not use_W:
        transform = nn.Identity
    elif not bn_layer:
        transform = lambda channels: CONV[dims](channels, channels, 1)  # noqa: E731
    gate = AttentionGate(
        in_channels,
        gating_channels,
        inner_channels=inner,
        spatial_dims=dims,
        subsample=step,
        variant=variant,
        transform=transform,
        align_corners=request.align_corners,
    )
    gate.phi = CONV[dims](gating_channels, inner, gate.subsample, stride=gate.subsample, bias=False)
    return gate


def _refuse_misfits(in_channels: int, inner: int, wide: tuple[int, int], mode: str, use_psi: bool) -> None:
    """Parts switched off hand on the channels that they get; the published code adds and multiplies what fits."""
    who, together = "from_reference: GridAttentionBlock2D_TORR", max(wide)
    if wide[0] != wide[1] and 1 not in wide:
        raise InputError(f"{who}: x and g must come to equally many channels, got {wide[0]} and {wide[1]}.")
    if use_psi and together != inner:
        raise InputError(f"{who}: psi takes inter_channels ({inner}), got {together} channels. Set use_psi=False.")
    fits = {1, in_channels} if mode == "concatenation_sigmoid" else {1}
    if not use_psi and together not in fits:
        wanted = " or ".join(str(n) for n in sorted(fits))
        raise InputError(f"{who}: without psi, {mode} needs {wanted} channels before it, got {together}.")


def _started(gate: AttentionGate) -> nn.Module:
    kaiming_initialise_(gate)
    if gate.variant in FIRST_BIAS and not isinstance(gate.psi, nn.Identity):
        nn.init.constant_(gate.psi.bias, FIRST_BIAS[gate.variant])
    return GateWithMap(gate)


TORR: dict[str, Callable[..., nn.Module]] = {
    "GridAttentionBlock2D_TORR": torr_2d,
    "GridAttentionBlock3D_TORR": torr_3d,
}
