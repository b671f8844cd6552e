"""pascanur/GroundHog, the authors' code of additive attention: the alignment in experiments/nmt/encdec.py.

It is written for Theano; time comes first, then the batch. The builder's arguments are the layer's sizes, which may be
read off the weights.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from saccade.attention.additive import AdditiveAttention
from saccade.errors import InputError
from saccade.reference.request import Request
from saccade.reference.theano import TheanoLinear


class TimeMajor(nn.Module):
    """Annotations (time, batch, channels), a state (batch, channels) and a mask (time, batch) to the context."""

    def __init__(self, attention: AdditiveAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, c: Tensor, h: Tensor, c_mask: Tensor | None = None) -> Tensor:
        mask = None if c_mask is None else c_mask.transpose(0, 1)
        return self.attention(h, c.transpose(0, 1), mask=mask)


def step(request: Request, c_dim: int | None = None, n_hids: int | None = None) -> nn.Module:
    if c_dim is None or n_hids is None:
        if "A_cp" not in request.state_shapes:
            raise InputError("from_reference: step_fprop: give c_dim and n_hids, or the weights: they tell them.")
        c_dim, n_hids = request.state_shapes["A_cp"]
    attention = AdditiveAttention(n_hids, c_dim)
    attention.from_query = TheanoLinear(n_hids, n_hids)
    attention.from_key = TheanoLinear(c_dim, n_hids)
    attention.score = score = TheanoLinear(n_hids, 1)
    nn.init.zeros_(score.weight)
    return TimeMajor(attention)


CLASSES: dict[str, Callable[..., nn.Module]] = {"RecurrentLayerWithSearch.step_fprop": step}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    AdditiveAttention: lambda _: {"from_query.weight": "B_hp", "from_key.weight": "A_cp", "score.weight": "D_pe"},
    TimeMajor: lambda _: {"attention": ""},
}
