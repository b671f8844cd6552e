"""Several class scores of one network put into one."""

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor


def mean_of_softmaxes(heads: Sequence[Float[Tensor, "b classes"]]) -> Float[Tensor, "b classes"]:
    """Logarithms of the mean of the heads' class probabilities; their softmax is that mean.

    Args:
        heads: Scores of each head, at least one.

    >>> mean_of_softmaxes([torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 100.0]])]).exp()
    tensor([[0.2500, 0.7500]])
    """
    return torch.stack([head.log_softmax(1) for head in heads]).logsumexp(0) - log(len(heads))
