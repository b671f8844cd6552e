"""Additive attention: a small network scores how well every source position fits the state of the decoder.

Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section 3.1 and appendix A.1.2.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.scaled_dot_product import masked_softmax
from saccade.attention.tap import Tap
from saccade.errors import InputError


class AdditiveAttention(nn.Module):
    """``e_ij = v^T tanh(W s_i + U h_j)``, ``alpha_ij = softmax_j(e_ij)``, ``c_i = sum_j alpha_ij h_j``.

    Args:
        query_channels: Channels of the state s, the paper's n.
        key_channels: Channels of the annotations h, the paper's 2n.
        hidden_channels: The paper's n'. Default: as ``query_channels``, as in the paper (n' = n = 1000).
        bias: Whether W s + U h carries a bias. Default False, as in the paper and the authors' code.

    Raises:
        InputError: If a number is below 1.

    W and U start from N(0, 0.001^2) and v from zero, as in the paper, so that all positions weigh the same at first.
    Differs from the authors' code: the largest energy is taken off before exp, which changes no weight but cannot
    overflow.

    >>> AdditiveAttention(8, 6)(torch.randn(2, 8), torch.randn(2, 11, 6)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self, query_channels: int, key_channels: int, *, hidden_channels: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        hidden = query_channels if hidden_channels is None else hidden_channels
        for name, number in [
            ("query_channels", query_channels),
            ("key_channels", key_channels),
            ("hidden_channels", hidden),
        ]:
            if number < 1:
                raise InputError(f"AdditiveAttention: {name} must be at least 1, got {number}.")
        from_query = nn.Linear(query_channels, hidden, bias=False)
        from_key = nn.Linear(key_channels, hidden, bias=bias)
        score = nn.Linear(hidden, 1, bias=False)
        for layer in (from_query, from_key):
            nn.init.normal_(layer.weight, std=0.001)
        if bias:
            nn.init.zeros_(from_key.bias)
        nn.init.zeros_(score.weight)
        self.from_query: nn.Module = from_query
        self.from_key: nn.Module = from_key
        self.score: nn.Module = score
        self.map = Tap("alignment")

    def prepare(self, keys: Float[Tensor, "b n ck"]) -> Float[Tensor, "b n hidden"]:
        """U h, which a decoder computes once for all its steps."""
        return self.from_key(keys)

    def weights(
        self,
        query: Float[Tensor, "b *steps cq"],
        keys: Float[Tensor, "b n ck"],
        *,
        mask: Bool[Tensor, "b n"] | Float[Tensor, "b n"] | None = None,
        prepared: Float[Tensor, "b n hidden"] | None = None,
    ) -> Float[Tensor, "b t n"]:
        """The alignment: for every step one weight at every position; they sum to one."""
        states = self.from_query(query if query.ndim == 3 else query[:, None])
        source = self.prepare(keys) if prepared is None else prepared
        energy = self.score(torch.tanh(states[:, :, None] + source[:, None])).squeeze(-1)
        return aligned_softmax(energy, mask)

    def forward(
        self,
        query: Float[Tensor, "b *steps cq"],
        keys: Float[Tensor, "b n ck"],
        *,
        mask: Bool[Tensor, "b n"] | Float[Tensor, "b n"] | None = None,
        prepared: Float[Tensor, "b n hidden"] | None = None,
        grid: Sequence[int] | None = None,
    ) -> Float[Tensor, "b *steps ck"]:
        """The context of one state (b, cq), or of several (b, steps, cq).

        Args:
            query: Decoder states.
            keys: Annotations, one for each source position.
            mask: True at source positions, False at padding, which gets weight 0. Numbers multiply exp(e) instead, as
                in the authors' code.
            prepared: What `prepare` gave for these keys.
            grid: Spatial size on which the keys lie, for those who listen.
        """
        alpha = self.map(self.weights(query, keys, mask=mask, prepared=prepared), grid=grid)
        context = alpha @ keys
        return context if query.ndim == 3 else context[:, 0]


def aligned_softmax(energy: Float[Tensor, "b t n"], mask: Tensor | None) -> Float[Tensor, "b t n"]:
    """Softmax over positions; where the mask leaves none, zeros.

    Args:
        energy: Scores.
        mask: (b, n), booleans (True: may be seen) or factors of exp(energy), or None.
    """
    if mask is None:
        return torch.softmax(energy, -1)
    mask = mask[:, None]
    if mask.dtype == torch.bool:
        return masked_softmax(energy.masked_fill(~mask, -torch.inf))
    # Shifted by the largest energy that counts. One that does not may lie far above it: e^60 is still a float, and its
    # gradient to the mask is that of the published code.
    largest = energy.masked_fill(mask == 0, -torch.inf).amax(-1, keepdim=True).detach()
    shifted = energy - largest.masked_fill(largest == -torch.inf, 0.0)
    weighted = mask * shifted.clamp(max=60.0).exp()
    return weighted / weighted.sum(-1, keepdim=True).clamp(min=torch.finfo(weighted.dtype).tiny)
