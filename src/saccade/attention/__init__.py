"""The attention mechanisms, one file each, and the `Tap` that every map passes through."""

from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.tap import AttentionMap, Tap, record

__all__ = ["AttentionGate", "AttentionMap", "MultiAttentionGate", "Tap", "record"]
