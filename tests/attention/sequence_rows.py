"""Rows of the battery's table: attention over tokens and over places, spatial transformers and glimpses."""

import sys
from pathlib import Path

from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from mechanism_row import Change, Mechanism

from saccade import attention


def tokens(*channels):
    """One input of tokens for each number of channels; the first axis of the space counts them."""
    return lambda draw, batch, space: tuple(draw(batch, space[0], c) for c in channels)


def on_a_grid(channels):
    """Tokens on a grid, channels last."""
    return lambda draw, batch, space: (draw(batch, *space, channels),)


def decoding(state, source):
    """Three decoder states, and as many source states as the first axis of the space is long."""
    return lambda draw, batch, space: (draw(batch, 3, state), draw(batch, space[0], source))


class Summary(nn.Module):
    """A localisation network of any number of dimensions."""

    def __init__(self, channels, features):
        super().__init__()
        self.out = nn.Linear(channels, features)

    def forward(self, x):
        return self.out(x.flatten(2).mean(2))


def multiplicative(score, other, hidden):
    return Mechanism(
        make=attention.MultiplicativeAttention,
        arguments=lambda dims: {"query_channels": 4, "score": score},
        inputs=decoding(4, 4),
        changes={
            "query_channels": Change(5, {"score": "general"}),
            "key_channels": Change(6, {"score": "general"}),
            "score": other,
            "hidden_channels": Change(hidden, {"score": "concat"}),
        },
        maps={"map": "alignment"},
        bad=[
            (
                {"score": "dott"},
                r"MultiplicativeAttention: unknown score 'dott'\. Did you mean 'dot'\? Known: dot, general, concat\.$",
            ),
            (
                {"score": "dot", "key_channels": 5},
                r"MultiplicativeAttention: score 'dot' needs key_channels equal to query_channels \(4\), got 5\. "
                r"Take score='general'\.$",
            ),
            (
                {"score": "general", "hidden_channels": 5},
                r"MultiplicativeAttention: hidden_channels is for score 'concat', got it with 'general'\. Leave it out",
            ),
        ],
        dims=(1,),
    )


LAYER_CHANGES = {
    "channels": 8,
    "heads": 3,
    "hidden_channels": 5,
    "dropout": 0.5,
    "inner_dropout": 0.5,
    "activation": F.gelu,
    "norm_first": True,
    "bias": False,
}
LAYER_BAD = [
    ({"heads": 4}, r"MultiHeadAttention: heads must divide channels \(6\), got 4\.$"),
    ({"dropout": 1.0}, r"TransformerEncoderLayer: dropout must be at least 0 and below 1, got 1\.0\.$"),
    ({"inner_dropout": -0.1}, r"MultiHeadAttention: dropout must be at least 0 and below 1, got -0\.1\.$"),
]

SEQUENCES: dict[str, Mechanism] = {
    "additive": Mechanism(
        make=attention.AdditiveAttention,
        arguments=lambda dims: {"query_channels": 4, "key_channels": 6},
        inputs=decoding(4, 6),
        changes={"query_channels": 5, "key_channels": 7, "hidden_channels": 3, "bias": True},
        maps={"map": "alignment"},
        bad=[
            ({"query_channels": 0}, r"AdditiveAttention: query_channels must be at least 1, got 0\.$"),
            ({"key_channels": 0}, r"AdditiveAttention: key_channels must be at least 1, got 0\.$"),
            ({"hidden_channels": 0}, r"AdditiveAttention: hidden_channels must be at least 1, got 0\.$"),
        ],
        dims=(1,),
    ),
    "feed-forward": Mechanism(
        make=attention.FeedForward,
        arguments=lambda dims: {"channels": 6, "hidden_channels": 7},
        inputs=tokens(6),
        changes={"channels": 5, "hidden_channels": 3, "activation": F.gelu, "dropout": 0.5, "bias": False},
        maps={},
        bad=[({"dropout": 1.5}, r"FeedForward: dropout must be at least 0 and below 1, got 1\.5\.$")],
        dims=(1,),
    ),
    "glimpse": Mechanism(
        make=attention.GlimpseSensor,
        arguments=lambda dims: {"size": 2, "scales": 2, "spatial_dims": dims, "differentiable": True},
        inputs=lambda draw, batch, space: (draw(batch, 3, *space), draw(batch, len(space)).tanh()),
        changes={"size": 3, "scales": 3, "factor": 3, "differentiable": False, "padding": "border"},
        maps={"map": "glimpse"},
        bad=[
            ({"spatial_dims": 4}, r"GlimpseSensor: spatial_dims must be 1, 2 or 3, got 4\.$"),
            ({"size": 0}, r"GlimpseSensor: size must be a whole number of at least 1, or 1 of them, got 0\.$"),
            ({"scales": 0}, r"GlimpseSensor: scales must be at least 1, got 0\.$"),
            (
                {"size": 4, "factor": 1.5},
                r"GlimpseSensor: factor must give patches that average to \(4,\), got 1\.5: a patch of \(6,\)\. "
                r"Take a whole number\.$",
            ),
            ({"factor": 0.5}, r"GlimpseSensor: factor must give patches that average to \(2,\), got 0\.5: a patch of "),
            (
                {"padding": "zero"},
                r"GlimpseSensor: unknown padding 'zero'\. Did you mean 'zeros'\? Known: zeros, border\.$",
            ),
        ],
        skip={"slab": "a location has a number for every axis"},
    ),
    "learned-positions": Mechanism(
        make=attention.LearnedPositions,
        arguments=lambda dims: {"channels": 5, "grid": (11,) * dims},
        inputs=on_a_grid(5),
        changes={"channels": 6, "grid": (12, 11, 11), "interpolate": True},
        maps={},
        bad=[
            ({"grid": ()}, r"LearnedPositions: grid must be one to three numbers of at least 1, got \(\)\.$"),
            ({"grid": (3, 0)}, r"LearnedPositions: grid must be one to three numbers of at least 1, got \(3, 0\)\.$"),
        ],
        skip={"slab": "the positions of a volume are others than those of an image"},
    ),
    "multi-head": Mechanism(
        make=attention.MultiHeadAttention,
        arguments=lambda dims: {"channels": 6, "heads": 2},
        inputs=tokens(6),
        changes={
            "channels": 8,
            "heads": 3,
            "key_channels": 5,
            "value_channels": 5,
            "bias": False,
            "dropout": 0.5,
            "learned_token": True,
            "zero_token": True,
        },
        maps={"map": "pairwise"},
        bad=[
            ({"heads": 4}, r"MultiHeadAttention: heads must divide channels \(6\), got 4\.$"),
            ({"heads": 0}, r"MultiHeadAttention: heads must divide channels \(6\), got 0\.$"),
            ({"dropout": 1.0}, r"MultiHeadAttention: dropout must be at least 0 and below 1, got 1\.0\.$"),
        ],
        dims=(1,),
    ),
    "multi-head-cross": Mechanism(
        make=attention.MultiHeadAttention,
        arguments=lambda dims: {"channels": 6, "heads": 2, "key_channels": 4, "value_channels": 5, "zero_token": True},
        inputs=lambda draw, batch, space: (draw(batch, 3, 6), draw(batch, *space, 4), draw(batch, *space, 5)),
        changes={
            "channels": 8,
            "heads": 3,
            "key_channels": 5,
            "value_channels": 4,
            "bias": False,
            "dropout": 0.5,
            "learned_token": True,
            "zero_token": False,
        },
        maps={"map": "pairwise"},
        bad=[],
        dims=(1,),
    ),
    "multiplicative-concat": multiplicative("concat", "dot", 3),
    "multiplicative-dot": multiplicative("dot", "general", 3),
    "multiplicative-general": multiplicative("general", "concat", 5),
    "sinusoidal-positions": Mechanism(
        make=attention.SinusoidalPositions,
        arguments=lambda dims: {},
        inputs=on_a_grid(13),
        changes={"style": "tensor2tensor", "base": 100.0},
        maps={},
        bad=[
            (
                {"style": "papr"},
                r"SinusoidalPositions: unknown style 'papr'\. Did you mean 'paper'\? Known: paper, tensor2tensor\.$",
            ),
            ({"base": 0.0}, r"SinusoidalPositions: base must be above 0, got 0\.0\.$"),
        ],
        skip={"slab": "an axis more takes channels of its own"},
    ),
    "spatial-transformer": Mechanism(
        make=attention.SpatialTransformer,
        arguments=lambda dims: {"localisation": Summary(3, 5), "features": 5, "spatial_dims": dims},
        inputs=lambda draw, batch, space: (draw(batch, 3, *space),),
        changes={
            "localisation": nn.Sequential(Summary(3, 5), nn.ReLU()),
            "features": Change(4, {"localisation": Summary(3, 4)}),
            "transform": "attention",
            "size": (4, 6, 2),
            "align_corners": True,
            "padding": "border",
            "control_points": Change(5, {"transform": "thin_plate_spline", "spatial_dims": 2}),
        },
        maps={"map": "transform"},
        bad=[
            ({"spatial_dims": 0}, r"SpatialTransformer: spatial_dims must be 1, 2 or 3, got 0\.$"),
            (
                {"transform": "afine"},
                r"SpatialTransformer: unknown transform 'afine'\. Did you mean 'affine'\? "
                r"Known: affine, attention, projective, thin_plate_spline\.$",
            ),
            ({"transform": "projective"}, r"SpatialTransformer: projective exists for spatial_dims 2, got 1\.$"),
            (
                {"padding": "edge"},
                r"SpatialTransformer: unknown padding 'edge'\..* Known: zeros, border, reflection\.$",
            ),
            ({"control_points": 1}, r"SpatialTransformer: control_points must be at least 2, got 1\.$"),
            (
                {"size": (0,)},
                r"SpatialTransformer: size must be a whole number of at least 1, or 1 of them, got \(0,\)",
            ),
        ],
        skip={"slab": "the transform of a volume has more parameters than that of an image"},
    ),
    "transformer-decoder-layer": Mechanism(
        make=attention.TransformerDecoderLayer,
        arguments=lambda dims: {"channels": 6, "heads": 2, "hidden_channels": 7},
        inputs=lambda draw, batch, space: (draw(batch, *space, 6), draw(batch, 3, 6)),
        changes=LAYER_CHANGES,
        maps={"attention.map": "pairwise", "memory_attention.map": "pairwise"},
        bad=LAYER_BAD,
        dims=(1,),
    ),
    "transformer-encoder-layer": Mechanism(
        make=attention.TransformerEncoderLayer,
        arguments=lambda dims: {"channels": 6, "heads": 2, "hidden_channels": 7},
        inputs=tokens(6),
        changes=LAYER_CHANGES,
        maps={"attention.map": "pairwise"},
        bad=LAYER_BAD,
        dims=(1,),
    ),
    "visual": Mechanism(
        make=attention.VisualAttention,
        arguments=lambda dims: {"channels": 5, "state_channels": 4},
        inputs=lambda draw, batch, space: (draw(batch, space[0], 5), draw(batch, 4)),
        changes={
            "channels": 6,
            "state_channels": 3,
            "hidden_channels": 7,
            "mode": "hard",
            "soft_share": Change(1.0, {"mode": "hard"}),
            "gate": "vector",
            "activation": F.relu,
            "state_bias": True,
        },
        maps={"map": "alignment"},
        bad=[
            ({"mode": "sof"}, r"VisualAttention: unknown mode 'sof'\. Did you mean 'soft'\? Known: soft, hard\.$"),
            ({"gate": "skalar"}, r"VisualAttention: unknown gate 'skalar'\. .* Known: scalar, vector\.$"),
            ({"soft_share": 1.1}, r"VisualAttention: soft_share must be between 0 and 1, got 1\.1\.$"),
        ],
        dims=(1,),
    ),
}
