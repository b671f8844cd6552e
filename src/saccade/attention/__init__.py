"""The attention mechanisms, one file each, and the `Tap` that every map passes through."""

from saccade.attention.additive import AdditiveAttention
from saccade.attention.bam import BAM
from saccade.attention.cbam import CBAM
from saccade.attention.concurrent_squeeze import ConcurrentSqueezeExcitation
from saccade.attention.eca import EfficientChannelAttention
from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.glimpse import GlimpseSensor
from saccade.attention.glimpse_policy import LocationPolicy
from saccade.attention.multi_head import MultiHeadAttention
from saccade.attention.multiplicative import MultiplicativeAttention
from saccade.attention.non_local import NonLocal
from saccade.attention.positions import LearnedPositions, SinusoidalPositions
from saccade.attention.project_excitation import ProjectExcitation
from saccade.attention.same_grid_gate import SameGridGate
from saccade.attention.sca import SCA
from saccade.attention.scaled_dot_product import scaled_dot_product_attention
from saccade.attention.self_attention import SelfAttention
from saccade.attention.spatial_squeeze import SpatialSqueezeExcitation
from saccade.attention.spatial_transformer import SpatialTransformer
from saccade.attention.squeeze import SqueezeExcitation
from saccade.attention.tap import AttentionMap, Tap, record
from saccade.attention.transformer import FeedForward, TransformerDecoderLayer, TransformerEncoderLayer
from saccade.attention.visual import Glance, VisualAttention
from saccade.attention.visual_objective import MovingBaseline, doubly_stochastic_penalty, score_function_loss

__all__ = [
    "BAM",
    "CBAM",
    "SCA",
    "AdditiveAttention",
    "AttentionGate",
    "AttentionMap",
    "ConcurrentSqueezeExcitation",
    "EfficientChannelAttention",
    "FeedForward",
    "Glance",
    "GlimpseSensor",
    "LearnedPositions",
    "LocationPolicy",
    "MovingBaseline",
    "MultiAttentionGate",
    "MultiHeadAttention",
    "MultiplicativeAttention",
    "NonLocal",
    "ProjectExcitation",
    "SameGridGate",
    "SelfAttention",
    "SinusoidalPositions",
    "SpatialSqueezeExcitation",
    "SpatialTransformer",
    "SqueezeExcitation",
    "Tap",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "VisualAttention",
    "doubly_stochastic_penalty",
    "record",
    "scaled_dot_product_attention",
    "score_function_loss",
]
