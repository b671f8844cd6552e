"""AG-SonoNet: a classifier of ultrasound planes that looks at what is decisive in its own mid-level features.

Schlemper et al., 2019, https://arxiv.org/abs/1808.08114.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.gate import AttentionGate
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import kaiming_initialise_
from saccade.layers.dimensions import CONV, check_spatial_dims
from saccade.layers.norm import Norm
from saccade.layers.resample import resize
from saccade.networks.checks import refuse_below_one
from saccade.networks.conv_blocks import ConvBlocks
from saccade.networks.heads import mean_of_softmaxes
from saccade.networks.sononet import from_zero_to_one

# For each way of putting the three features together: what each head's cross-entropy counts.
AGGREGATIONS = {
    "concat": (1.0,),
    "mean": (1.0, 1.0, 1.0),
    "deep_supervision": (1.0, 0.1, 0.1, 0.1),
    "fine_tuned": (1.0,),
}
FIRST_BIAS = {"sigmoid": 3.0, "softmax": 10.0}  # of psi, by variant of the gate, as published


class AGSonoNet(nn.Module):
    """One score per class from features pooled by attention at two levels and by the mean at the coarsest.

    The blocks are those of `SonoNet`. The coarsest map g gates the maps x of the two blocks before it: ``alpha`` of an
    `AttentionGate`, ``feature = sum over positions of alpha x``; the third feature is the mean of g. The maps are
    recorded as ``gates.0.map`` and ``gates.1.map``, the paper's AG1 and AG2.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each block, at least three; (w, 2w, 4w, 8w, 8w) is AG-SonoNet-w.
        convolutions: Number of convolutions of each block.
        norm: Behind every convolution; see `saccade.layers.make_norm`.
        variant: How scores become attention: ``mean_flow`` (the paper's), ``softmax``, ``mean``, ``range`` or
            ``sigmoid``; see `AttentionGate`.
        aggregation: How the three features become scores: ``concat`` (one linear layer on all), ``mean`` (one for each,
            the mean of their probabilities), ``deep_supervision`` (as concat, with the three of mean for training
            alone), or ``fine_tuned`` (a linear layer on the scores of the three, started from a trained ``mean``).

    Raises:
        InputError: As `SonoNet`, for fewer than three blocks, and for an unknown variant or aggregation.

    Differs from the paper: none; a constant map of scores gives no attention rather than NaN.

    >>> AGSonoNet(1, 14, channels=(2, 4, 8, 16, 16))(torch.randn(2, 1, 48, 37)).shape
    torch.Size([2, 14])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128, 128),
        convolutions: Sequence[int] = (3, 3, 3, 2, 2),
        norm: Norm = "batch",
        variant: str = "mean_flow",
        aggregation: str = "deep_supervision",
    ) -> None:
        super().__init__()
        check_spatial_dims("AGSonoNet", spatial_dims)
        refuse_below_one("AGSonoNet", out_channels=out_channels)
        if aggregation not in AGGREGATIONS:
            raise unknown_name("AGSonoNet", "aggregation", aggregation, list(AGGREGATIONS))
        if len(channels) < 3:
            raise InputError(f"AGSonoNet: channels must name at least 3 blocks, got {len(channels)}.")
        self.aggregation, self.head_weights = aggregation, AGGREGATIONS[aggregation]
        self.features = ConvBlocks(
            "AGSonoNet",
            in_channels,
            channels=channels,
            convolutions=convolutions,
            spatial_dims=spatial_dims,
            norm=norm,
        )
        pooled = list(channels[-3:])
        self.gates = nn.ModuleList(
            self_gate(width, pooled[-1], variant=variant, spatial_dims=spatial_dims) for width in pooled[:2]
        )
        self.heads = nn.ModuleList(
            nn.Linear(width, out_channels) for width in (pooled if aggregation != "concat" else [])
        )
        if aggregation != "mean":
            seen = len(pooled) * out_channels if aggregation == "fine_tuned" else sum(pooled)
            self.head = nn.Linear(seen, out_channels)
        kaiming_initialise_(self)

    def pool(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The features of the last three maps: two pooled by attention, and the mean of the coarsest; (b, c) each."""
        *fine, coarse = maps[-3:]
        gated = [gate(x, coarse).flatten(2).sum(2) for gate, x in zip(self.gates, fine, strict=True)]
        return [*gated, coarse.flatten(2).mean(2)]

    def score(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What each head makes of the features: as many scores (b, classes) as there are ``head_weights``."""
        each = [head(feature) for head, feature in zip(self.heads, features, strict=False)]
        if self.aggregation == "mean":
            return each
        if self.aggregation == "fine_tuned":
            return [self.head(torch.cat(each, 1))]
        return [self.head(torch.cat(list(features), 1)), *each]

    def scores(self, x: Float[Tensor, "b c *space"]) -> list[Tensor]:
        """The scores of every head, for training: see `saccade.losses.heads_cross_entropy`."""
        return self.score(self.pool(self.features(x)))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        scores = self.scores(x)
        return mean_of_softmaxes(scores) if self.aggregation == "mean" else scores[0]

    def localise(self, x: Float[Tensor, "b c *space"], target: int) -> dict[str, Float[Tensor, "b 1 *space"]]:
        """The paper's picture: ``AG1``, ``AG2``, the class activation map ``CAM`` of one class, and ``all``.

        All on the input's grid, from 0 to 1: what is positive of each map, divided by its maximum; ``all`` is the mean
        of the three.

        Args:
            x: Images.
            target: The class of which the activation map is.
        """
        with torch.no_grad():
            maps = self.features(x)
            *fine, coarse = maps[-3:]
            gates: Any = self.gates
            pairs = enumerate(zip(gates, fine, strict=True), start=1)
            found = {f"AG{i}": gate.coefficients(x_i, coarse) for i, (gate, x_i) in pairs}
            # Scores are linear in the mean of the coarsest map: its weights, by what one channel more adds.
            width = coarse.shape[1]
            blank = [f.new_zeros(width + 1, f.shape[1]) for f in fine]
            units = torch.cat([coarse.new_zeros(1, width), torch.eye(width, dtype=coarse.dtype, device=coarse.device)])
            last = self.score([*blank, units])[-1 if self.aggregation == "mean" else 0][:, target]
            found["CAM"] = torch.einsum("c,bc...->b...", last[1:] - last[0], coarse)[:, None]
            found = {name: from_zero_to_one(resize(y, x.shape[2:])) for name, y in found.items()}
            found["all"] = torch.stack(list(found.values())).mean(0)
        return found


def self_gate(in_channels: int, gating_channels: int, *, variant: str, spatial_dims: int) -> AttentionGate:
    """The gate of AG-SonoNet: on the grid of x, as many channels inside as the signal has, no output transform.

    Args:
        in_channels: Channels of x.
        gating_channels: Channels of the signal, and inside.
        variant: See `AttentionGate`.
        spatial_dims: 1, 2 or 3.
    """
    gate = AttentionGate(
        in_channels,
        gating_channels,
        inner_channels=gating_channels,
        spatial_dims=spatial_dims,
        subsample=1,
        variant=variant,
        transform=nn.Identity,
    )
    gate.phi = CONV[spatial_dims](gating_channels, gating_channels, 1, bias=False)
    if variant in FIRST_BIAS:
        nn.init.constant_(gate.psi.bias, FIRST_BIAS[variant])
    return gate
