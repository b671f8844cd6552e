"""Cross-entropy of networks with several heads: deep supervision."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import InputError


def heads_cross_entropy(
    heads: Sequence[Float[Tensor, "b classes"]],
    target: Integer[Tensor, "b"],
    weights: Sequence[int | float],
    *,
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, ""]:
    """``sum over heads of weight * cross-entropy(head, target)``, each a mean over the batch.

    Args:
        heads: Scores of each head.
        target: Classes.
        weights: What each head counts: of `saccade.networks.AGSonoNet` its ``head_weights``.
        class_weights: What each class counts; None for all the same.

    Raises:
        InputError: If there are not as many weights as heads.

    >>> heads_cross_entropy([torch.zeros(3, 4), torch.zeros(3, 4)], torch.tensor([0, 1, 3]), (1.0, 0.5))
    tensor(2.0794)
    """
    if len(weights) != len(heads) or not heads:
        raise InputError(
            f"heads_cross_entropy: weights must be one for each head, at least one, got {len(weights)} for "
            f"{len(heads)}."
        )
    each = [F.cross_entropy(head, target, class_weights) for head in heads]
    return torch.stack([weight * loss for weight, loss in zip(weights, each, strict=True)]).sum()
