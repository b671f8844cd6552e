"""Attention U-Net: a U-Net whose skip connections pass attention gates.

Oktay et al., 2018, https://arxiv.org/abs/1804.03999.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.gate import AttentionGate, MultiAttentionGate, point_norm
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import ConvNormReLU, kaiming_initialise_
from saccade.layers.norm import Norm
from saccade.layers.resample import Upsampling
from saccade.networks.unet import Pooling, UNet


@dataclass(frozen=True)
class Gates:
    """How the gates of an `AttentionUNet` are fed and built.

    Args:
        signal: What gates a skip: ``"bottom"``, one signal from the coarsest level for all gates, or ``"below"``, the
            decoder's map one level below (for the lowest gate: the coarsest level).
        count: Gates on each skip.
        combine: Whether a further convolution, normalisation and ReLU follow; needed for more than one gate.
        variant: See `AttentionGate`.
        subsample: See `AttentionGate`.
        norm: Normalisation inside the gates; ``"same"`` (default) for the network's own.
        upsampling: Of the network's decoder, and align_corners of the gates: see `UNet`.

    Raises:
        InputError: For an unknown signal, or several gates that nothing combines.
    """

    signal: str = "bottom"
    count: int = 2
    combine: bool = True
    variant: str = "sigmoid"
    subsample: int | Sequence[int] = 2
    norm: Norm = "same"
    upsampling: str | Upsampling = "linear"

    def __post_init__(self) -> None:
        if self.signal not in ("bottom", "below"):
            raise unknown_name("Gates", "signal", self.signal, ["bottom", "below"])
        if self.count < 1 or (self.count > 1 and not self.combine):
            raise InputError(
                f"Gates: count must be at least 1, and 1 where combine is False, got {self.count}. Set combine to True."
            )


FORMS = {
    "shared": Gates(signal="bottom", count=2),
    "multi": Gates(signal="below", count=2),
    "single": Gates(signal="below", count=1),
    "grid": Gates(signal="bottom", count=1, combine=False),
}


class AttentionUNet(UNet):
    """A U-Net that multiplies what its skip connections carry by soft masks, so that background is damped.

    Every skip but the finest passes an `AttentionGate` (or several); see there for the formula. The maps are recorded
    as ``gates.0...`` for the second finest level, ``gates.1...`` for the one below, and so on.

    The four published forms, with their parameters for 1 input channel and 4 classes at the default widths:

    - ``gates="shared"`` (default, the first published): one signal from the bottom feeds two gates a level; 6,411,498.
    - ``gates="multi"``: two gates a level, fed by the decoder level below; 6,473,322.
    - ``gates="single"``: one gate a level, fed by the decoder level below; 6,214,151.
    - ``gates="grid", pooling=((2, 2, 1),) * 4, deep_supervision=False``: one gate a level, fed by the one signal;
      2,221,815.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each level, at least three; see `UNet`.
        pooling: See `UNet`.
        deep_supervision: See `UNet`.
        norm: See `UNet`.
        gates: The name of a published form, or a `Gates`.

    Raises:
        InputError: As `UNet`; for fewer than three levels; for an unknown form.

    >>> import torch
    >>> AttentionUNet(1, 4, channels=(4, 8, 16))(torch.randn(1, 1, 13, 11, 7)).shape
    torch.Size([1, 4, 13, 11, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        pooling: Pooling = 2,
        deep_supervision: bool = True,
        norm: Norm = "batch",
        gates: str | Gates = "shared",
    ) -> None:
        form = named_form(gates)
        if len(channels) < 3:
            raise InputError(f"AttentionUNet: channels must name at least 3 levels, got {len(channels)}.")
        super().__init__(
            in_channels,
            out_channels,
            spatial_dims=spatial_dims,
            channels=channels,
            pooling=pooling,
            deep_supervision=deep_supervision,
            norm=norm,
            upsampling=form.upsampling,
        )
        self.signal = form.signal
        shared = form.signal == "bottom"
        width = channels[-2] if shared else channels[-1]
        self.gating = ConvNormReLU(channels[-1], width, spatial_dims=spatial_dims, kernel_size=1, norm=norm)
        inside = norm if form.norm == "same" else form.norm
        self.gates = nn.ModuleList(
            _skip_gate(channels[level], width if shared else channels[level + 1], form, inside, spatial_dims)
            for level in range(1, len(channels) - 1)
        )
        kaiming_initialise_(self)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes *space"]:
        skips, bottom = self.encode(x)
        signal = self.gating(bottom)

        def gate(level: int, skip: Tensor, low: Tensor) -> Tensor:
            if level == 0:
                return skip
            lowest = level == len(skips) - 1
            return self.gates[level - 1](skip, signal if lowest or self.signal == "bottom" else low)

        return self.head(self.decode(skips, bottom, gate))


def named_form(gates: str | Gates) -> Gates:
    """The `Gates` of a published form.

    Raises:
        InputError: For a name that is not one of the forms.
    """
    if isinstance(gates, Gates):
        return gates
    if gates not in FORMS:
        raise unknown_name("AttentionUNet", "form of gates", gates, list(FORMS))
    return FORMS[gates]


def _skip_gate(channels: int, signal_channels: int, form: Gates, norm: Norm, spatial_dims: int) -> nn.Module:
    up = form.upsampling
    gates = [
        AttentionGate(
            channels,
            signal_channels,
            inner_channels=channels,
            spatial_dims=spatial_dims,
            subsample=form.subsample,
            variant=form.variant,
            transform=partial(point_norm, norm=norm, spatial_dims=spatial_dims),
            align_corners=isinstance(up, Upsampling) and up.align_corners,
        )
        for _ in range(form.count)
    ]
    return MultiAttentionGate(gates, spatial_dims=spatial_dims, norm=norm) if form.combine else gates[0]
