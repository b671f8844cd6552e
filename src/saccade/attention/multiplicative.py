"""Multiplicative attention: the state of the decoder is compared with every source position by a product.

Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, section 3.1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.additive import aligned_softmax
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name

SCORES = ("dot", "general", "concat")


class MultiplicativeAttention(nn.Module):
    """``a_t(s) = softmax_s(score(h_t, h_s))``, ``c_t = sum_s a_t(s) h_s`` (eq. 7), the paper's global attention.

    The scores (eq. 8): dot ``h_t^T h_s``; general ``h_t^T W_a h_s``; concat ``v_a^T tanh(W_a [h_t; h_s])``.

    Args:
        query_channels: Channels of the decoder's state h_t.
        key_channels: Channels of the source states h_s. Default: as ``query_channels``.
        score: ``dot``, ``general`` (default; the paper's best single choice) or ``concat``.
        hidden_channels: Rows of W_a for ``concat``. Default: as ``query_channels``.

    Raises:
        InputError: For an unknown score, ``dot`` between states of different width, or ``hidden_channels`` with
            another score than ``concat``.

    Differs from the paper: none; W_a and v_a have no bias there either, and scores are not divided by sqrt(channels).

    >>> MultiplicativeAttention(8, key_channels=6)(torch.randn(2, 5, 8), torch.randn(2, 11, 6)).shape
    torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        query_channels: int,
        *,
        key_channels: int | None = None,
        score: str = "general",
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise unknown_name("MultiplicativeAttention", "score", score, list(SCORES))
        key_channels = query_channels if key_channels is None else key_channels
        if score == "dot" and key_channels != query_channels:
            raise InputError(
                f"MultiplicativeAttention: score 'dot' needs key_channels equal to query_channels ({query_channels}), "
                f"got {key_channels}. Take score='general'."
            )
        if score != "concat" and hidden_channels is not None:
            raise InputError(
                f"MultiplicativeAttention: hidden_channels is for score 'concat', got it with '{score}'. Leave it out."
            )
        self.score = score
        if score == "general":
            self.from_key = nn.Linear(key_channels, query_channels, bias=False)
        elif score == "concat":
            hidden = query_channels if hidden_channels is None else hidden_channels
            # W_a cut into its part for the state and its part for the source: no pair is ever joined.
            self.from_query = nn.Linear(query_channels, hidden, bias=False)
            self.from_key = nn.Linear(key_channels, hidden, bias=False)
            self.vector = nn.Linear(hidden, 1, bias=False)
        self.map = Tap("alignment")

    def weights(
        self,
        query: Float[Tensor, "b *steps cq"],
        keys: Float[Tensor, "b n ck"],
        *,
        mask: Bool[Tensor, "b n"] | Float[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b t n"]:
        """The alignment: for every step one weight at every position; they sum to one."""
        states = query if query.ndim == 3 else query[:, None]
        if self.score == "concat":
            joined = self.from_query(states)[:, :, None] + self.from_key(keys)[:, None]
            return aligned_softmax(self.vector(torch.tanh(joined)).squeeze(-1), mask)
        return aligned_softmax(states @ (keys if self.score == "dot" else self.from_key(keys)).mT, mask)

    def forward(
        self,
        query: Float[Tensor, "b *steps cq"],
        keys: Float[Tensor, "b n ck"],
        *,
        mask: Bool[Tensor, "b n"] | Float[Tensor, "b n"] | None = None,
        grid: Sequence[int] | None = None,
    ) -> Float[Tensor, "b *steps ck"]:
        """The context of one state (b, cq), or of several (b, steps, cq); options as in `AdditiveAttention`."""
        alpha = self.map(self.weights(query, keys, mask=mask), grid=grid)
        context = alpha @ keys
        return context if query.ndim == 3 else context[:, 0]
