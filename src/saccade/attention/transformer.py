"""Layers of the Transformer: attention and a feed-forward network, each with a residual and a normalisation.

Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1 and 3.3.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.multi_head import MultiHeadAttention
from saccade.attention.scaled_dot_product import Mask
from saccade.errors import InputError


class FeedForward(nn.Module):
    """``max(0, x W_1 + b_1) W_2 + b_2`` at every token (eq. 2).

    Args:
        channels: Channels of the tokens.
        hidden_channels: The paper's d_ff.
        activation: Between the two. Default: ReLU, as in the paper.
        dropout: Share of the hidden units dropped in training.
        bias: Whether both layers carry a bias.

    >>> FeedForward(4, 8)(torch.randn(2, 5, 4)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        dropout: int | float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InputError(f"FeedForward: dropout must be at least 0 and below 1, got {dropout}.")
        self.grow = nn.Linear(channels, hidden_channels, bias=bias)
        self.shrink = nn.Linear(hidden_channels, channels, bias=bias)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        return self.shrink(self.dropout(self.activation(self.grow(x))))


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network: ``x = LayerNorm(x + Dropout(Sublayer(x)))`` twice.

    Args:
        channels: Channels of the tokens, the paper's d_model.
        heads: Heads of the attention. Default 8, as in the paper.
        hidden_channels: The paper's d_ff. Default 2048, as in the paper.
        dropout: On the output of both parts, in training. Default 0.1, as in the paper.
        inner_dropout: On the attention weights and the hidden units. Default 0, as in the paper; tensor2tensor's
            ``transformer_base`` has 0.1, and ``torch.nn`` the same number as ``dropout``.
        activation: Of the feed-forward network. Default: ReLU, as in the paper.
        norm_first: False (default) as in the paper; True for ``x + Dropout(Sublayer(LayerNorm(x)))``, as in
            tensor2tensor's ``transformer_base`` since its second version. The stack then wants a last normalisation.
        bias: Whether all layers carry biases. Default True; the paper's projections have none.

    Raises:
        InputError: If ``heads`` does not divide ``channels`` or a share is not in [0, 1).

    >>> TransformerEncoderLayer(16, heads=4, hidden_channels=32)(torch.randn(2, 50, 16)).shape
    torch.Size([2, 50, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        hidden_channels: int = 2048,
        dropout: int | float = 0.1,
        inner_dropout: int | float = 0.0,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InputError(f"TransformerEncoderLayer: dropout must be at least 0 and below 1, got {dropout}.")
        self.attention = MultiHeadAttention(channels, heads=heads, bias=bias, dropout=inner_dropout)
        self.feed_forward = FeedForward(
            channels, hidden_channels, activation=activation, dropout=inner_dropout, bias=bias
        )
        self.attention_norm = nn.LayerNorm(channels, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(channels, bias=bias)
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        *,
        padding: Bool[Tensor, "b n"] | None = None,
        mask: Mask | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n c"]:
        """One layer; the options are those of `MultiHeadAttention`."""
        x = self._residual(
            self.attention_norm, x, lambda y: self.attention(y, padding=padding, mask=mask, causal=causal)
        )
        return self._residual(self.feed_forward_norm, x, self.feed_forward)

    def _residual(self, norm: nn.Module, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))


class TransformerDecoderLayer(TransformerEncoderLayer):
    """Causal self-attention, attention to the encoder's output, then a feed-forward network; a residual around each.

    Args:
        channels: Channels of the tokens and of the encoder's output.
        heads: As in `TransformerEncoderLayer`, like all that follow.
        hidden_channels: See there.
        dropout: See there.
        inner_dropout: See there.
        activation: See there.
        norm_first: See there; the encoder's output is used as it comes.
        bias: See there.

    Raises:
        InputError: See there.

    >>> layer = TransformerDecoderLayer(16, heads=4, hidden_channels=32)
    >>> layer(torch.randn(2, 5, 16), torch.randn(2, 7, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        hidden_channels: int = 2048,
        dropout: int | float = 0.1,
        inner_dropout: int | float = 0.0,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            channels,
            heads=heads,
            hidden_channels=hidden_channels,
            dropout=dropout,
            inner_dropout=inner_dropout,
            activation=activation,
            norm_first=norm_first,
            bias=bias,
        )
        self.memory_attention = MultiHeadAttention(channels, heads=heads, bias=bias, dropout=inner_dropout)
        self.memory_norm = nn.LayerNorm(channels, bias=bias)

    def forward(  # type: ignore[override]  # a decoder's layer has a second input
        self,
        x: Float[Tensor, "b n c"],
        memory: Float[Tensor, "b m c"],
        *,
        padding: Bool[Tensor, "b n"] | None = None,
        mask: Mask | None = None,
        causal: bool = True,
        memory_padding: Bool[Tensor, "b m"] | None = None,
        memory_mask: Mask | None = None,
    ) -> Float[Tensor, "b n c"]:
        """One layer; padding, mask and causal (on by default) are of the self-attention, the rest of the other."""
        x = self._residual(
            self.attention_norm, x, lambda y: self.attention(y, padding=padding, mask=mask, causal=causal)
        )
        x = self._residual(
            self.memory_norm,
            x,
            lambda y: self.memory_attention(y, memory, padding=memory_padding, mask=memory_mask),
        )
        return self._residual(self.feed_forward_norm, x, self.feed_forward)
