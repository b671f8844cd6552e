"""batmanlab/Subject2Vec, the authors' code of Subject2Vec: the discriminative network in COPD_Sub2Vec_Helper.py.

As of commit d47a42e. It is written for TensorFlow 1, which names the layers; their weights are (in, out). It drops 90 %
of the features while training, by a rate that it documents as a probability to keep; there is no dropout here. It uses
64 hidden units, the argument ``k`` here, and knows the subject's other facts by a class of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saccade.losses.subject import attention_spread
from saccade.networks.subject2vec import DiscriminativeNetwork, SetAttention
from saccade.reference.request import Request
from saccade.reference.theano import TheanoLinear


class OneSubject(nn.Module):
    """One subject's patches (n, ...) and further facts (1, k) to all that the published code computes.

    Returned are the prediction, the subject's vector, the features that it is the sum of, and the regularisation.
    """

    def __init__(self, network: DiscriminativeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, h: Tensor, confounder: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mask = torch.ones(1, len(h), dtype=torch.bool, device=h.device)
        vector, each, weights = self.network.describe(h.flatten(1)[None], mask)
        spread = attention_spread(weights, mask)[0]
        return self.network.conclude(vector, confounder), vector, each[0], spread


def discriminative(request: Request, d: int, outputDim: int, k: int = 64, confounder_dim: int = 0) -> nn.Module:
    network = DiscriminativeNetwork(d, outputDim, hidden=k, confounders=confounder_dim)
    attention = network.attention
    attention.first, attention.second = _dense(d, k), _dense(k, 1)
    network.embed, network.predict = _dense(d, d), _dense(confounder_dim + d, outputDim)
    return OneSubject(network)


def _dense(into: int, out: int) -> TheanoLinear:
    layer = TheanoLinear(into, out, bias=(out,))
    nn.init.xavier_uniform_(layer.weight)
    return layer


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "discriminativeNetwork": discriminative,
    "discriminativeNetwork_confounder": discriminative,
}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    DiscriminativeNetwork: lambda _: {"attention": "", "embed": "fc1", "predict": "fc2"},
    OneSubject: lambda _: {"network": ""},
    SetAttention: lambda _: {"first": "dense", "second": "dense_1"},
    TheanoLinear: lambda _: {"weight": "kernel", "bias": "bias"},
}
