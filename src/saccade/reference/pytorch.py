"""pytorch/pytorch: attention and the layers of the Transformer in ``torch.nn``, and the names of weights.

As of PyTorch 2.13. In its masks for modules True forbids, in those for the function True allows.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.multi_head import MultiHeadAttention
from saccade.attention.scaled_dot_product import scaled_dot_product_attention
from saccade.attention.tap import Tap
from saccade.attention.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from saccade.errors import InputError, unknown_name
from saccade.reference.request import Request

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "gelu": F.gelu}
Activation = str | Callable[[Tensor], Tensor]


def _masks(
    who: str, attn_mask: Tensor | None, padding: Tensor | None, is_causal: bool, heads: int, dtype: torch.dtype
) -> dict[str, Any]:
    """The options ``mask`` and ``padding`` of our attention.

    ``is_causal`` only tells what kind of mask is given. (Theirs then trusts it and forgets the mask, which shuts out
    the tokens that ``add_bias_kv`` and ``add_zero_attn`` add. Ours keeps to the mask.)
    """
    if is_causal and attn_mask is None:
        raise InputError(f"{who}: is_causal tells what attn_mask is, got no attn_mask. Give both.")
    mask = attn_mask
    if mask is not None:
        mask = mask.unflatten(0, (-1, heads)) if mask.ndim == 3 else mask
        mask = ~mask if mask.dtype == torch.bool else mask
    if padding is None:
        return {"mask": mask, "padding": None}
    padding = padding[None] if padding.ndim == 1 else padding
    if padding.dtype == torch.bool:
        return {"mask": mask, "padding": ~padding}
    added = padding[:, None, None]
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)
    return {"mask": added if mask is None else mask + added, "padding": None}


class PublishedAttention(nn.Module):
    """Multi-head attention called as in PyTorch: time or batch first, one item or many, the weights returned."""

    def __init__(self, attention: MultiHeadAttention, batch_first: bool) -> None:
        super().__init__()
        self.attention, self.batch_first = attention, batch_first

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As published; short for self-attention: x, then key_padding_mask, then attn_mask, both of booleans."""
        if key is not None and key.dtype == torch.bool:
            key, value, key_padding_mask, attn_mask = None, None, key, value
        q = _batched(query, self.batch_first)
        k, v = (None if x is None else _batched(x, self.batch_first) for x in (key, value))
        heads = self.attention.heads
        options = _masks("MultiheadAttention", attn_mask, key_padding_mask, is_causal, heads, query.dtype)
        if need_weights:
            output, weights = self.attention.attend(q, k, v, **options)
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            output, weights = self.attention(q, k, v, **options), None
        if query.ndim == 2:
            return output[0], None if weights is None else weights[0]
        return (output if self.batch_first else output.transpose(0, 1)), weights


def _batched(x: Tensor, batch_first: bool) -> Tensor:
    if x.ndim == 2:
        return x[None]
    return x if batch_first else x.transpose(0, 1)


class PublishedEncoderLayer(nn.Module):
    """An encoder's layer called as in PyTorch."""

    def __init__(self, layer: TransformerEncoderLayer, batch_first: bool) -> None:
        super().__init__()
        self.layer, self.batch_first = layer, batch_first

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        heads = self.layer.attention.heads
        options = _masks("TransformerEncoderLayer", src_mask, src_key_padding_mask, is_causal, heads, src.dtype)
        return _unbatched(self.layer(_batched(src, self.batch_first), **options), src, self.batch_first)


class PublishedDecoderLayer(nn.Module):
    """A decoder's layer called as in PyTorch; it is causal only if the mask says so."""

    def __init__(self, layer: TransformerDecoderLayer, batch_first: bool) -> None:
        super().__init__()
        self.layer, self.batch_first = layer, batch_first

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        who, heads = "TransformerDecoderLayer", self.layer.attention.heads
        own = _masks(who, tgt_mask, tgt_key_padding_mask, tgt_is_causal, heads, tgt.dtype)
        other = _masks(who, memory_mask, memory_key_padding_mask, memory_is_causal, heads, tgt.dtype)
        output = self.layer(
            _batched(tgt, self.batch_first),
            _batched(memory, self.batch_first),
            causal=False,
            memory_mask=other["mask"],
            memory_padding=other["padding"],
            **own,
        )
        return _unbatched(output, tgt, self.batch_first)


def _unbatched(output: Tensor, like: Tensor, batch_first: bool) -> Tensor:
    if like.ndim == 2:
        return output[0]
    return output if batch_first else output.transpose(0, 1)


class PublishedFunction(nn.Module):
    """``torch.nn.functional.scaled_dot_product_attention`` with these options; True in a mask allows."""

    def __init__(
        self, mask: Tensor | None, dropout: int | float, causal: bool, scale: int | float | None, grouped: bool
    ) -> None:
        super().__init__()
        self.mask, self.dropout, self.causal, self.scale, self.grouped = mask, dropout, causal, scale, grouped
        self.map = Tap("pairwise")

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        if self.grouped:  # groups of queries' heads share a head of keys
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
        return scaled_dot_product_attention(
            query,
            key,
            value,
            mask=self.mask if attn_mask is None else attn_mask,
            causal=self.causal,
            scale=self.scale,
            dropout=self.dropout,
            tap=self.map,
        )


def function(
    request: Request,
    attn_mask: Tensor | None = None,
    dropout_p: int | float = 0.0,
    is_causal: bool = False,
    scale: int | float | None = None,
    enable_gqa: bool = False,
) -> nn.Module:
    return PublishedFunction(attn_mask, dropout_p, is_causal, scale, enable_gqa)


def multi_head(
    request: Request,
    embed_dim: int,
    num_heads: int,
    dropout: int | float = 0.0,
    bias: bool = True,
    add_bias_kv: bool = False,
    add_zero_attn: bool = False,
    kdim: int | None = None,
    vdim: int | None = None,
    batch_first: bool = False,
    device: Any = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    attention = MultiHeadAttention(
        embed_dim,
        heads=num_heads,
        key_channels=kdim,
        value_channels=embed_dim if vdim is None else vdim,
        bias=bias,
        dropout=dropout,
        learned_token=add_bias_kv,
        zero_token=add_zero_attn,
    )
    return PublishedAttention(attention, batch_first).to(device, dtype)


def encoder_layer(
    request: Request,
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: int | float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: int | float = 1e-5,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    device: Any = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    options = _layer(nhead, dim_feedforward, dropout, activation, norm_first, bias)
    layer = TransformerEncoderLayer(d_model, **options)
    return PublishedEncoderLayer(_with_epsilon(layer, layer_norm_eps), batch_first).to(device, dtype)


def decoder_layer(
    request: Request,
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: int | float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: int | float = 1e-5,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    device: Any = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    options = _layer(nhead, dim_feedforward, dropout, activation, norm_first, bias)
    layer = TransformerDecoderLayer(d_model, **options)
    return PublishedDecoderLayer(_with_epsilon(layer, layer_norm_eps), batch_first).to(device, dtype)


def _layer(
    heads: int, hidden: int, dropout: int | float, activation: Activation, first: bool, bias: bool
) -> dict[str, Any]:
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        raise unknown_name("from_reference", "activation", activation, list(ACTIVATIONS))
    return {
        "heads": heads,
        "hidden_channels": hidden,
        "dropout": dropout,
        "inner_dropout": dropout,
        "activation": ACTIVATIONS[activation] if isinstance(activation, str) else activation,
        "norm_first": first,
        "bias": bias,
    }


def _with_epsilon(layer: Any, epsilon: int | float) -> Any:
    for part in layer.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = epsilon
    return layer


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "MultiheadAttention": multi_head,
    "TransformerDecoderLayer": decoder_layer,
    "TransformerEncoderLayer": encoder_layer,
    "scaled_dot_product_attention": function,
}


def _attention_names(attention: Any) -> dict[str, str]:
    found = {"out": "out_proj"}
    places = {
        "in_weight": "in_proj_weight",
        "query_weight": "q_proj_weight",
        "key_weight": "k_proj_weight",
        "value_weight": "v_proj_weight",
        "in_bias": "in_proj_bias",
        "key_token": "bias_k",
        "value_token": "bias_v",
    }
    return {**found, **{ours: theirs for ours, theirs in places.items() if ours in attention.state_dict()}}


_ENCODER = {
    "attention": "self_attn",
    "feed_forward.grow": "linear1",
    "feed_forward.shrink": "linear2",
    "attention_norm": "norm1",
    "feed_forward_norm": "norm2",
}
_DECODER = {**_ENCODER, "memory_attention": "multihead_attn", "memory_norm": "norm2", "feed_forward_norm": "norm3"}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    MultiHeadAttention: _attention_names,
    PublishedAttention: lambda _: {"attention": ""},
    PublishedDecoderLayer: lambda _: {"layer": ""},
    PublishedEncoderLayer: lambda _: {"layer": ""},
    TransformerDecoderLayer: lambda _: _DECODER,
    TransformerEncoderLayer: lambda _: _ENCODER,
}
