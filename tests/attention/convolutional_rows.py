"""Rows of the mechanisms that reweight the feature maps of convolutional networks."""

import sys
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from mechanism_row import Mechanism, features

from saccade import attention


def gated(in_channels, gating_channels, coarser=3):
    """Features, and a gating signal on a coarser grid."""

    def inputs(draw, batch, space):
        grid = [max(n // coarser, 1) for n in space]
        return draw(batch, in_channels, *space), draw(batch, gating_channels, *grid)

    return inputs


def gate_row(variant, skip):
    """The attention gate of one variant."""
    return Mechanism(
        make=attention.AttentionGate,
        arguments=lambda dims: {
            "in_channels": 6,
            "gating_channels": 5,
            "spatial_dims": dims,
            "subsample": 2,
            "variant": variant,
        },
        inputs=gated(6, 5),
        changes={
            "in_channels": 7,
            "gating_channels": 4,
            "inner_channels": 2,
            "subsample": (2, 1, 1),
            "variant": "softplus" if variant != "softplus" else "sigmoid",
            "transform": nn.Identity,
            "align_corners": True,
        },
        maps={"map": "spatial"},
        bad=[
            ({"variant": "sigmod"}, r"AttentionGate: unknown variant 'sigmod'\. Did you mean 'sigmoid'\? Known: sigm"),
            ({"subsample": 0}, r"AttentionGate: subsample must be a whole number of at least 1, or 1 of them, got 0\."),
            ({"spatial_dims": 4}, r"AttentionGate: spatial_dims must be 1, 2 or 3, got 4\."),
            ({"in_channels": 0}, r"AttentionGate: in_channels must be at least 1, got 0\."),
        ],
        thick=lambda dims: {"subsample": (1, *[2] * dims)},
        skip=skip,
    )


def gates(dims, count=2, width=6, **further):
    return [attention.AttentionGate(width, 5, spatial_dims=dims, **further) for _ in range(count)]


CONVOLUTIONAL: dict[str, Mechanism] = {
    "attention-gate": gate_row("sigmoid", {}),
    "attention-gate-softplus": gate_row("softplus", {}),
    "attention-gate-softmax": gate_row("softmax", {}),
    "attention-gate-mean": gate_row("mean", {"bfloat16": "divides by a sum of either sign that may be near zero"}),
    "attention-gate-mean-flow": gate_row("mean_flow", {}),
    "attention-gate-range": gate_row("range", {}),
    "multi-attention-gate": Mechanism(
        make=attention.MultiAttentionGate,
        arguments=lambda dims: {"gates": gates(dims), "spatial_dims": dims},
        inputs=gated(6, 5),
        changes={"gates": gates(3, count=1), "norm": "instance"},
        maps={"gates.0.map": "spatial", "gates.1.map": "spatial"},
        bad=[
            (
                {"gates": [*gates(1), *gates(1, width=3)]},
                r"MultiAttentionGate: gates must be one or more of the same in_channels, got \[3, 6\]\.",
            ),
            ({"gates": []}, r"MultiAttentionGate: gates must be one or more of the same in_channels, got \[\]\."),
        ],
        thick=lambda dims: {"gates": gates(dims + 1, subsample=(1, *[2] * dims))},
    ),
    "same-grid-gate": Mechanism(
        make=attention.SameGridGate,
        arguments=lambda dims: {"in_channels": 6, "gating_channels": 5, "spatial_dims": dims},
        inputs=gated(6, 5, coarser=1),
        changes={"in_channels": 7, "gating_channels": 4, "inner_channels": 2},
        maps={"map": "spatial"},
        bad=[({"spatial_dims": 0}, r"SameGridGate: spatial_dims must be 1, 2 or 3, got 0\.")],
    ),
    "squeeze-excitation": Mechanism(
        make=attention.SqueezeExcitation,
        arguments=lambda dims: {"channels": 6, "reduction": 2},
        inputs=features(6),
        changes={
            "channels": 7,
            "reduction": 3,
            "bias": False,
            "squeeze": "max",
            "activation": nn.Tanh,
            "gate_activation": nn.Tanh,
            "residual": True,
        },
        maps={"map": "channel"},
        bad=[
            ({"reduction": 0}, r"SqueezeExcitation: reduction must be between 1 and channels \(6\), got 0\."),
            ({"reduction": 7}, r"SqueezeExcitation: reduction must be between 1 and channels \(6\), got 7\."),
            ({"squeeze": "mean"}, r"SqueezeExcitation: unknown squeeze 'mean'\. .*Known: average, max\."),
        ],
    ),
    "spatial-squeeze-excitation": Mechanism(
        make=attention.SpatialSqueezeExcitation,
        arguments=lambda dims: {"channels": 6},
        inputs=features(6),
        changes={"channels": 7, "bias": False},
        maps={"map": "spatial"},
        bad=[({"channels": 0}, r"SpatialSqueezeExcitation: channels must be at least 1, got 0\.")],
    ),
    "concurrent-squeeze-excitation": Mechanism(
        make=attention.ConcurrentSqueezeExcitation,
        arguments=lambda dims: {"channels": 6},
        inputs=features(6),
        changes={"channels": 7, "reduction": 3, "aggregation": "add", "bias": False},
        maps={"channel.map": "channel", "spatial.map": "spatial"},
        bad=[
            ({"reduction": 7}, r"ConcurrentSqueezeExcitation: reduction must be between 1 and channels \(6\), got 7\."),
            (
                {"aggregation": "sum"},
                r"ConcurrentSqueezeExcitation: unknown aggregation 'sum'\. .*Known: max, add, multiply, concatenate\.",
            ),
        ],
    ),
    "cbam": Mechanism(
        make=attention.CBAM,
        arguments=lambda dims: {"channels": 6, "reduction": 2, "spatial_dims": dims},
        inputs=features(6),
        changes={
            "channels": 7,
            "reduction": 3,
            "kernel_size": 3,
            "pools": ("lp", "lse"),
            "spatial": False,
            "batch_norm": False,
        },
        maps={"channel.map": "channel", "spatial.map": "spatial"},
        bad=[
            ({"reduction": 7}, r"CBAM: reduction must be between 1 and channels \(6\), got 7\."),
            ({"kernel_size": 4}, r"CBAM: kernel_size must be an odd number of at least 1, got 4\."),
            ({"pools": ()}, r"CBAM: pools must name at least one of average, max, lp, lse, got none\."),
            ({"pools": ("avrage",)}, r"CBAM: unknown pool 'avrage'\. Did you mean 'average'\? Known: average, max, lp"),
            ({"spatial_dims": 4}, r"CBAM: spatial_dims must be 1, 2 or 3, got 4\."),
        ],
    ),
    "bam": Mechanism(
        make=attention.BAM,
        arguments=lambda dims: {"channels": 6, "reduction": 3, "dilation": 2, "spatial_dims": dims},
        inputs=features(6),
        changes={
            "channels": 7,
            "reduction": 2,
            "dilation": 1,
            "layers": 2,
            "convolutions": 1,
            "combine": "product",
            "final_norm": False,
        },
        maps={"map": "spatial"},
        bad=[
            ({"reduction": 0}, r"BAM: reduction must be between 1 and channels \(6\), got 0\."),
            ({"dilation": 0}, r"BAM: dilation must be at least 1, got 0\."),
            ({"layers": -1}, r"BAM: layers must be at least 0, got -1\."),
            ({"convolutions": -1}, r"BAM: convolutions must be at least 0, got -1\."),
            ({"combine": "sums"}, r"BAM: unknown combination 'sums'\. Did you mean 'sum'\? Known: sum, product\."),
            ({"spatial_dims": 4}, r"BAM: spatial_dims must be 1, 2 or 3, got 4\."),
        ],
    ),
    "efficient-channel-attention": Mechanism(
        make=attention.EfficientChannelAttention,
        arguments=lambda dims: {"channels": 11},
        inputs=features(11),
        changes={"channels": 3, "kernel_size": 5, "gamma": 1.0, "offset": 5.0, "shared": False},
        maps={"map": "channel"},
        bad=[
            ({"channels": 0}, r"EfficientChannelAttention: channels must be at least 1, got 0\."),
            (
                {"kernel_size": 4},
                r"EfficientChannelAttention: kernel_size must be an odd number of at least 1, got 4\.",
            ),
            ({"gamma": 0.0}, r"EfficientChannelAttention: gamma must be above 0, got 0\.0\."),
        ],
    ),
    "project-excitation": Mechanism(
        make=attention.ProjectExcitation,
        arguments=lambda dims: {"channels": 6},
        inputs=features(6),
        changes={"channels": 7, "reduction": 3},
        maps={"map": "spatial"},
        bad=[({"reduction": 7}, r"ProjectExcitation: reduction must be between 1 and channels \(6\), got 7\.")],
        skip={"slab": "one axis more is one profile more"},
    ),
    "sca": Mechanism(
        make=attention.SCA,
        arguments=lambda dims: {"channels": 6, "inner_channels": 5, "hidden_size": 3},
        inputs=lambda draw, batch, space: (draw(batch, 6, *space), draw(batch, 3)),
        changes={
            "channels": 7,
            "inner_channels": 2,
            "hidden_size": 4,
            "order": "spatial-channel",
            "rescale": False,
        },
        maps={"channel_map": "channel", "spatial_map": "spatial"},
        bad=[
            ({"channels": 0}, r"SCA: channels must be at least 1, got 0\."),
            ({"inner_channels": 0}, r"SCA: inner_channels must be at least 1, got 0\."),
            ({"hidden_size": 0}, r"SCA: hidden_size must be at least 1, got 0\."),
            ({"order": "spatial"}, r"SCA: unknown order 'spatial'\. Did you mean '.*'\? Known: channel-spatial, spat"),
        ],
    ),
    "sca-without-state": Mechanism(
        make=attention.SCA,
        arguments=lambda dims: {"channels": 6, "inner_channels": 5, "order": "spatial-channel"},
        inputs=features(6),
        changes={
            "channels": 7,
            "inner_channels": 2,
            "hidden_size": 4,
            "order": "channel-spatial",
            "rescale": False,
        },
        maps={"channel_map": "channel", "spatial_map": "spatial"},
        bad=[({"order": ""}, r"SCA: unknown order ''\. Known: channel-spatial, spatial-channel\.")],
    ),
}
