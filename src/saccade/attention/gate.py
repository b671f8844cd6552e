"""Grid attention gates: damp what lies outside the structures of interest in the skip connections of a U-Net.

Oktay et al., 2018, https://arxiv.org/abs/1804.03999; Schlemper et al., 2019, https://arxiv.org/abs/1808.08114.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.squeeze import over_space
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import ConvNormReLU
from saccade.layers.dimensions import CONV, check_spatial_dims, per_axis
from saccade.layers.norm import Norm, make_norm
from saccade.layers.resample import resize


def _softmax(q: Tensor) -> Tensor:
    return q.flatten(2).softmax(2).reshape(q.shape)


def _share(q: Tensor) -> Tensor:
    return q / over_space(q.flatten(2).sum(2), q)


def _share_above_least(q: Tensor) -> Tensor:
    above = q - over_space(q.flatten(2).min(2).values, q)
    return above / over_space(above.flatten(2).sum(2), q).clamp_min(torch.finfo(q.dtype).tiny)


def _range(q: Tensor) -> Tensor:
    above = q - over_space(q.flatten(2).min(2).values, q)
    return above / over_space(above.flatten(2).max(2).values, q).clamp_min(torch.finfo(q.dtype).tiny)


# From scores q to coefficients; softplus differs in what makes q.
_COEFFICIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "softplus": torch.sigmoid,
    "softmax": _softmax,
    "mean": _share,
    "mean_flow": _share_above_least,
    "range": _range,
}
VARIANTS = tuple(_COEFFICIENTS)


class AttentionGate(nn.Module):
    """Multiply features by one soft mask per item, computed from them and from a coarser gating signal.

    ``q = psi(relu(theta(x) + phi(g)))``, ``alpha = sigmoid(q)`` (eq. 1 and 2), ``y = W(alpha * x)``. All but the last
    step happens on the grid of ``theta(x)``, which is ``subsample`` times coarser than x; alpha is interpolated to x.

    Args:
        in_channels: Channels of x and of the output.
        gating_channels: Channels of the gating signal g, which may have any grid.
        inner_channels: The paper's F_int. Default: half of ``in_channels``, at least 1, as in the authors' code.
        spatial_dims: 1, 2 or 3.
        subsample: Kernel and step of theta, one number or one for each axis.
        variant: ``sigmoid`` (the paper), ``softplus`` (in place of the ReLU) or ``softmax`` (over all positions, in
            place of the sigmoid); in the authors' code concatenation, concatenation_debug, concatenation_residual. In
            place of the sigmoid also, from AG-SonoNet: ``mean`` (``q_i / sum q``, which may be negative or divide by
            zero), ``mean_flow`` (``(q_i - min q) / sum (q - min q)``, its paper's choice) and ``range``
            (``(q_i - min q) / (max q - min q)``); these two are 0 everywhere for a constant q.
        transform: The paper's output transform W, as a factory from the number of channels to a module; None (default)
            for the published 1x1 convolution with batch norm, ``nn.Identity`` for the bare product.
        align_corners: See `saccade.layers.Upsampling`.

    Raises:
        InputError: For numbers below 1, a wrong ``spatial_dims`` or an unknown variant.

    Differs from the paper: an axis shorter than ``subsample`` is repeated to that length before theta. AG-SonoNet's own
    gate has no bias in phi and sub-samples g too; its code gives NaN for a constant q. For its attention pooling, sum
    the output of a gate with ``transform=nn.Identity`` over positions.

    >>> AttentionGate(8, 16, spatial_dims=2)(torch.randn(1, 8, 10, 6), torch.randn(1, 16, 5, 3)).shape
    torch.Size([1, 8, 10, 6])
    """

    def __init__(
        self,
        in_channels: int,
        gating_channels: int,
        *,
        inner_channels: int | None = None,
        spatial_dims: int = 3,
        subsample: int | Sequence[int] = 2,
        variant: str = "sigmoid",
        transform: Callable[[int], nn.Module] | None = None,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("AttentionGate", "variant", variant, list(VARIANTS))
        conv = CONV[check_spatial_dims("AttentionGate", spatial_dims)]
        self.subsample = per_axis("AttentionGate", "subsample", subsample, spatial_dims)
        inner = max(in_channels // 2, 1) if inner_channels is None else inner_channels
        for name, number in [
            ("in_channels", in_channels),
            ("gating_channels", gating_channels),
            ("inner_channels", inner),
        ]:
            if number < 1:
                raise InputError(f"AttentionGate: {name} must be at least 1, got {number}.")
        self.in_channels, self.variant, self.align_corners = in_channels, variant, align_corners
        self.theta = conv(in_channels, inner, self.subsample, stride=self.subsample, bias=False)
        self.phi = conv(gating_channels, inner, 1)
        self.activation: nn.Module = nn.Softplus() if variant == "softplus" else nn.ReLU()
        self.psi = conv(inner, 1, 1)
        self.transform = point_norm(in_channels, "batch", spatial_dims) if transform is None else transform(in_channels)
        self.map = Tap("spatial")

    def coefficients(
        self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]
    ) -> Float[Tensor, "b maps *space"]:
        """The attention itself: one weight per item and position of x."""
        seen = self.theta(self._long_enough(x))
        signal = resize(self.phi(g), seen.shape[2:], self.align_corners)
        alpha = _COEFFICIENTS[self.variant](self.psi(self.activation(seen + signal)))
        return resize(alpha, x.shape[2:], self.align_corners)

    def attend(
        self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]
    ) -> tuple[Float[Tensor, "b c *space"], Float[Tensor, "b maps *space"]]:
        """The gated features and the coefficients that gated them."""
        alpha = self.map(self.coefficients(x, g))
        return self.transform(alpha * x), alpha

    def forward(self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]) -> Float[Tensor, "b c *space"]:
        return self.attend(x, g)[0]

    def _long_enough(self, x: Tensor) -> Tensor:
        lacking = [max(s - n, 0) for n, s in zip(x.shape[2:], self.subsample, strict=True)]
        if not any(lacking):
            return x
        # F.pad counts from the last axis; only the far end grows.
        return F.pad(x, [n for lack in reversed(lacking) for n in (0, lack)], mode="replicate")


class MultiAttentionGate(nn.Module):
    """Several gates on the same features, their outputs put together by a 1x1 convolution, normalisation and ReLU.

    The block of the authors' CT networks (two gates, or one). Each gate's map passes its own `Tap`.

    Args:
        gates: The gates; all must have the same ``in_channels``.
        spatial_dims: As the gates have it.
        norm: Normalisation after the convolution that combines. Default batch norm, as published.

    Raises:
        InputError: If there is no gate, or if they differ in ``in_channels``.
    """

    def __init__(self, gates: Sequence[AttentionGate], *, spatial_dims: int = 3, norm: Norm = "batch") -> None:
        super().__init__()
        widths = sorted({gate.in_channels for gate in gates})
        if len(widths) != 1:
            raise InputError(f"MultiAttentionGate: gates must be one or more of the same in_channels, got {widths}.")
        self.gates = nn.ModuleList(gates)
        self.combine = ConvNormReLU(
            len(gates) * widths[0], widths[0], spatial_dims=spatial_dims, kernel_size=1, norm=norm
        )

    def coefficients(
        self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]
    ) -> Float[Tensor, "b gates *space"]:
        """The coefficients of all gates, one channel each."""
        return torch.cat([gate.coefficients(x, g) for gate in self._each()], 1)

    def attend(
        self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]
    ) -> tuple[Float[Tensor, "b c *space"], Float[Tensor, "b gates *space"]]:
        """The combined features and the coefficients of all gates."""
        outputs, maps = zip(*(gate.attend(x, g) for gate in self._each()), strict=True)
        return self.combine(torch.cat(outputs, 1)), torch.cat(maps, 1)

    def forward(self, x: Float[Tensor, "b c *space"], g: Float[Tensor, "b cg *grid"]) -> Float[Tensor, "b c *space"]:
        return self.combine(torch.cat([gate(x, g) for gate in self.gates], 1))

    def _each(self) -> list[AttentionGate]:
        return cast(list[AttentionGate], list(self.gates))


def point_norm(channels: int, norm: Norm, spatial_dims: int) -> nn.Sequential:
    """A 1x1 convolution that keeps the number of channels, then normalisation: the gates' output transform W."""
    return nn.Sequential(CONV[spatial_dims](channels, channels, 1), make_norm(norm, channels, spatial_dims))
