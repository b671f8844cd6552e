"""Losses of classes, levels, labels and numbers, a value for each case."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

REGRESSION: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


def ordinal_loss(
    logits: Float[Tensor, "b k"],
    level: Integer[Tensor, "b"],
    *,
    weights: Float[Tensor, "levels"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, "b"]:
    """The mean over k of the binary cross-entropies of "above level k", k = 0 ... K - 2 for K levels.

    Frank and Hall, 2001, doi:10.1007/3-540-44795-4_13; as outputs of one network Niu et al., 2016, CVPR.
    A level that is wrong by two is wrong in two of them.

    Args:
        logits: Of "above level k".
        level: Of each case, 0 to K - 1.
        weights: Factor for each level.
        smoothing: Part by which each of the binary targets is moved towards 1/2.

    >>> ordinal_loss(torch.zeros(1, 2), torch.tensor([2])).item() == torch.tensor(2.0).log().item()
    True
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    above = (level[:, None] > steps).to(logits.dtype) * (1 - smoothing) + smoothing / 2
    loss = F.binary_cross_entropy_with_logits(logits, above, reduction="none").mean(1)
    return loss if weights is None else loss * weights[level]


def multi_label_loss(
    logits: Float[Tensor, "b k"],
    labels: Float[Tensor, "b k"],
    *,
    weights: Float[Tensor, "k"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, "b"]:
    """The mean of binary cross-entropies over the labels that a case has.

    Args:
        logits: Scores.
        labels: 0, 1, or NaN where nobody said; these do not count.
        weights: Factor on the loss of each label where it is 1.
        smoothing: Part by which each target is moved towards 1/2.
    """
    smooth = labels * (1 - smoothing) + smoothing / 2
    loss = F.binary_cross_entropy_with_logits(logits, smooth.nan_to_num(0.5), pos_weight=weights, reduction="none")
    return _mean_of_known(loss, labels)


def regression_loss(
    values: Float[Tensor, "b k"], targets: Float[Tensor, "b k"], *, kind: str = "huber"
) -> Float[Tensor, "b"]:
    """The mean over the targets that a case has of the squared error, the absolute error or Huber's (turning at 1).

    Args:
        values: Predicted.
        targets: Wanted; NaN does not count.
        kind: ``mse``, ``l1`` or ``huber``.
    """
    function = REGRESSION[kind]
    known = torch.where(targets.isnan(), values.detach(), targets)
    return _mean_of_known(function(values, known, reduction="none"), targets)


def _mean_of_known(loss: Tensor, targets: Tensor) -> Tensor:
    known = ~targets.isnan()
    return torch.where(known, loss, 0.0).sum(1) / known.sum(1).clamp_min(1)
