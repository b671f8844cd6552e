"""Multi-head attention: several scaled dot-product attentions side by side, each on its own projections.

Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.scaled_dot_product import Mask, attend, scaled_dot_product_attention
from saccade.attention.tap import Tap
from saccade.errors import InputError


class MultiHeadAttention(nn.Module):
    """``Concat(head_1, ..., head_h) W^O``, ``head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)``.

    Self-attention with one input, cross-attention with two or three. Tokens have no order of their own: without
    positions (`SinusoidalPositions`, `LearnedPositions`) or masks, a permutation of the tokens permutes the output.

    Args:
        channels: Channels of queries and of the output, the paper's d_model.
        heads: The paper's h; must divide ``channels``. Default 8, as in the paper; each has d_k = channels / heads.
        key_channels: Channels of the keys. Default: as the queries.
        value_channels: Channels of the values. Default: as the keys.
        bias: Whether projections carry biases: True (default) as in ``torch.nn.MultiheadAttention``, False as in the
            paper's text and tensor2tensor.
        dropout: Share of the weights dropped in training. Default 0, as in the paper; tensor2tensor's later settings
            have 0.1.
        learned_token: Whether a learned key and value are added to those given (PyTorch's ``add_bias_kv``).
        zero_token: Whether a key and value of zeros are added, so that a query may look at nothing (PyTorch's
            ``add_zero_attn``).

    Raises:
        InputError: If ``heads`` does not divide ``channels``, or if ``dropout`` is not in [0, 1).

    The map has a column for every key, then one for the learned and one for the zero token. A query that may look
    nowhere gets zeros before W^O, where PyTorch's module may give NaN.

    >>> MultiHeadAttention(16, heads=4)(torch.randn(2, 50, 16)).shape
    torch.Size([2, 50, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = True,
        dropout: int | float = 0.0,
        learned_token: bool = False,
        zero_token: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(f"MultiHeadAttention: heads must divide channels ({channels}), got {heads}.")
        if not 0 <= dropout < 1:
            raise InputError(f"MultiHeadAttention: dropout must be at least 0 and below 1, got {dropout}.")
        key_channels = channels if key_channels is None else key_channels
        value_channels = key_channels if value_channels is None else value_channels
        self.heads, self.dropout, self.zero_token = heads, dropout, zero_token
        self.one_width = key_channels == value_channels == channels
        if self.one_width:
            self.in_weight = nn.Parameter(torch.empty(3 * channels, channels))
        else:
            self.query_weight = nn.Parameter(torch.empty(channels, channels))
            self.key_weight = nn.Parameter(torch.empty(channels, key_channels))
            self.value_weight = nn.Parameter(torch.empty(channels, value_channels))
        self.in_bias = nn.Parameter(torch.zeros(3 * channels)) if bias else None
        self.key_token = nn.Parameter(torch.empty(1, 1, channels)) if learned_token else None
        self.value_token = nn.Parameter(torch.empty(1, 1, channels)) if learned_token else None
        self.out = nn.Linear(channels, channels, bias=bias)
        self.map = Tap("pairwise")
        self._initialise()

    def _initialise(self) -> None:
        for name, weight in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                nn.init.xavier_uniform_(weight)
            elif name.endswith("token"):
                nn.init.xavier_normal_(weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def project(
        self, query: Float[Tensor, "b n c"], key: Float[Tensor, "b m ck"], value: Float[Tensor, "b m cv"]
    ) -> tuple[Float[Tensor, "b h n d"], Float[Tensor, "b h m2 d"], Float[Tensor, "b h m2 d"]]:
        """Queries, keys and values of every head, the additional tokens at the end of keys and values."""
        if self.one_width and query is key and key is value:
            q, k, v = F.linear(query, self.in_weight, self.in_bias).chunk(3, -1)
        else:
            one_width = self.in_weight.chunk(3) if self.one_width else None
            weights = one_width or (self.query_weight, self.key_weight, self.value_weight)
            biases = (None,) * 3 if self.in_bias is None else self.in_bias.chunk(3)
            inputs = zip((query, key, value), weights, biases, strict=True)
            q, k, v = (F.linear(x, weight, bias) for x, weight, bias in inputs)
        if self.key_token is not None and self.value_token is not None:
            k = torch.cat([k, self.key_token.expand(len(k), 1, -1)], 1)
            v = torch.cat([v, self.value_token.expand(len(v), 1, -1)], 1)
        if self.zero_token:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        each = [rearrange(x, "b n (h d) -> b h n d", h=self.heads) for x in (q, k, v)]
        return each[0], each[1], each[2]

    def forward(
        self,
        query: Float[Tensor, "b n c"],
        key: Float[Tensor, "b m ck"] | None = None,
        value: Float[Tensor, "b m cv"] | None = None,
        *,
        padding: Bool[Tensor, "b m"] | None = None,
        mask: Mask | None = None,
        causal: bool = False,
        grid: Sequence[int] | None = None,
        key_grid: Sequence[int] | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Attend.

        Args:
            query: Tokens that look.
            key: Tokens that are looked at. Default: the queries (self-attention).
            value: What is gathered. Default: the keys.
            padding: True where a key is a token, False where it is padding.
            mask: (n, m), (b, n, m) or (b, heads, n, m): booleans, True where a query may look at a key, or numbers
                added to the scores.
            causal: Whether query i looks at keys 0 to i alone.
            grid: Spatial size on which the queries lie, for those who listen. Default: (n,).
            key_grid: The same of the keys. Default: (m,).
        """
        qkv, options = self._prepare(query, key, value, padding, mask, causal, key_grid)
        return self._mix(scaled_dot_product_attention(*qkv, grid=grid, **options))

    def attend(
        self,
        query: Float[Tensor, "b n c"],
        key: Float[Tensor, "b m ck"] | None = None,
        value: Float[Tensor, "b m cv"] | None = None,
        *,
        padding: Bool[Tensor, "b m"] | None = None,
        mask: Mask | None = None,
        causal: bool = False,
        grid: Sequence[int] | None = None,
        key_grid: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b h n m2"]]:
        """What `forward` gives, and the weights of every head."""
        qkv, options = self._prepare(query, key, value, padding, mask, causal, key_grid)
        seen, weights = attend(*qkv, grid=grid, **options)
        return self._mix(seen), weights

    def _mix(self, seen: Tensor) -> Tensor:
        return self.out(rearrange(seen, "b h n d -> b n (h d)"))

    def _prepare(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        padding: Tensor | None,
        mask: Tensor | None,
        causal: bool,
        key_grid: Sequence[int] | None,
    ) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
        """Queries, keys and values of the heads, and the options of `scaled_dot_product_attention`."""
        key = query if key is None else key
        both, causal = self._masks(padding, mask, causal, query, key)
        options = {
            "mask": both,
            "causal": causal,
            "dropout": self.dropout if self.training else 0.0,
            "tap": self.map,
            "key_grid": key.shape[1:2] if key_grid is None else key_grid,
        }
        return self.project(query, key, key if value is None else value), options

    def _masks(
        self, padding: Tensor | None, mask: Tensor | None, causal: bool, query: Tensor, key: Tensor
    ) -> tuple[Tensor | None, bool]:
        """One mask with an axis for heads and a column for every additional token, and whether it is causal still."""
        extra = (self.key_token is not None) + self.zero_token
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]
        if padding is not None:
            padding = padding[:, None, None]
            if mask is None:
                mask = padding
            elif mask.dtype == torch.bool:
                mask = mask & padding
            else:
                mask = mask.masked_fill(~padding, -torch.inf)
        if not extra:
            return mask, causal
        if causal:  # the additional tokens are open to all, which the causal form cannot say
            past = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device).tril()
            if mask is None:
                mask = past
            else:
                mask = mask & past if mask.dtype == torch.bool else mask.masked_fill(~past, -torch.inf)
        if mask is None:
            return None, False
        mask = mask.expand(*mask.shape[:-1], key.shape[1])
        return F.pad(mask, (0, extra), value=1 if mask.dtype == torch.bool else 0), False
