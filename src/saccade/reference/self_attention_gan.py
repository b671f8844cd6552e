"""heykeetae/Self-Attention-GAN: the attention block of sagan_models.py.

As of commit 8714a54. The builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saccade.attention.self_attention import SelfAttention
from saccade.reference.request import Request


class WithMap(nn.Module):
    """A block that also returns its map."""

    def __init__(self, block: SelfAttention) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.block(x), self.block.weights(x)[:, 0]


def self_attn(request: Request, in_dim: int, activation: object = None) -> nn.Module:
    block = SelfAttention(in_dim)
    block.gamma = nn.Parameter(torch.zeros(1))
    return WithMap(block)


CLASSES: dict[str, Callable[..., nn.Module]] = {"Self_Attn": self_attn}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    SelfAttention: lambda _: {
        "query": "query_conv",
        "key": "key_conv",
        "value": "value_conv",
        "gamma": "gamma",
    },
    WithMap: lambda _: {"block": ""},
}
