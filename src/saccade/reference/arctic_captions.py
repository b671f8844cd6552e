"""kelvinxu/arctic-captions, the authors' code of Show, Attend and Tell: the attention in one step of lstm_cond_layer.

It is written for Theano; the builder's arguments are the options of the code that this part reads.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from saccade.attention.visual import VisualAttention
from saccade.errors import InputError
from saccade.reference.request import Request
from saccade.reference.theano import TheanoLinear


class Contexts(nn.Module):
    """The context before and after the selector; without a selector the context alone."""

    def __init__(self, attention: VisualAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, context: Tensor, h: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        glance = self.attention.attend(context, h)
        return glance.context if glance.beta is None else (glance.ungated, glance.context)


def step(request: Request, ctx_dim: int, dim: int, selector: bool = True, n_layers_att: int = 1) -> nn.Module:
    if n_layers_att < 1:
        raise InputError(f"from_reference: lstm_cond_layer: n_layers_att must be at least 1, got {n_layers_att}.")
    attention = VisualAttention(ctx_dim, dim, gate="scalar" if selector else None)
    attention.from_features = TheanoLinear(ctx_dim, ctx_dim, bias=(ctx_dim,))
    attention.from_state = TheanoLinear(dim, ctx_dim)
    attention.score = TheanoLinear(ctx_dim, 1, bias=(1,))
    if selector:
        attention.gate = TheanoLinear(dim, 1, bias=())
    if n_layers_att > 1:
        deeper = [[TheanoLinear(ctx_dim, ctx_dim, bias=(ctx_dim,)), nn.Tanh()] for _ in range(1, n_layers_att)]
        attention.from_features = nn.Sequential(attention.from_features, *(part for layer in deeper for part in layer))
    return Contexts(attention)


CLASSES: dict[str, Callable[..., nn.Module]] = {"lstm_cond_layer._step (deterministic, selector)": step}


def _names(attention: Any) -> dict[str, str]:
    first = "from_features"
    found: dict[str, str] = {}
    if isinstance(attention.from_features, nn.Sequential):
        first = "from_features.0"
        for i in range(1, len(attention.from_features) // 2 + 1):
            found |= {
                f"from_features.{2 * i - 1}.weight": f"W_att_{i}",
                f"from_features.{2 * i - 1}.bias": f"b_att_{i}",
            }
    if attention.gate is not None:
        found |= {"gate.weight": "W_sel", "gate.bias": "b_sel"}
    return {
        f"{first}.weight": "Wc_att",
        f"{first}.bias": "b_att",
        "from_state.weight": "Wd_att",
        "score.weight": "U_att",
        "score.bias": "c_tt",
        **found,
    }


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    Contexts: lambda _: {"attention": ""},
    VisualAttention: _names,
}
