"""The attention mechanisms, one file each, and the `Tap` that every map passes through."""

from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.same_grid_gate import SameGridGate
from saccade.attention.squeeze import SqueezeExcitation
from saccade.attention.tap import AttentionMap, Tap, record

__all__ = [
    "AttentionGate",
    "AttentionMap",
    "MultiAttentionGate",
    "SameGridGate",
    "SqueezeExcitation",
    "Tap",
    "record",
]
