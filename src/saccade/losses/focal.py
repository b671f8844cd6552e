"""Focal loss: what is easy and plentiful counts little. Lin et al. 2017, https://arxiv.org/abs/1708.02002."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def focal_loss(
    logits: Float[Tensor, "*n"],
    targets: Float[Tensor, "*n"],
    *,
    alpha: float | None = 0.25,
    gamma: float | int = 2.0,
    through_weight: bool = True,
) -> Float[Tensor, "*n"]:
    """``-alpha_t (1 - p_t)^gamma log(p_t)``, equation 5, of sigmoid scores, element by element.

    Args:
        logits: Scores.
        targets: 0 or 1 (or between, where p_t is the mean of both).
        alpha: Weight of what is 1, 1 - alpha that of what is 0; None for no such weights.
        gamma: How fast what is easy fades; 0 gives the weighted binary cross-entropy.
        through_weight: Whether the gradient also flows through ``(1 - p_t)^gamma``, as the paper has it; False is the
            form of fastai's 2018 lecture under present PyTorch, where a weight has no gradient.

    >>> focal_loss(torch.zeros(1), torch.ones(1), alpha=None, gamma=2).item() == 0.25 * torch.tensor(2.0).log().item()
    True
    """
    chance = torch.sigmoid(logits if through_weight else logits.detach())
    right = chance * targets + (1 - chance) * (1 - targets)
    # (1 - p)^gamma has an endless slope at p = 1 for gamma below 1
    weight = (1 - right).clamp_min(torch.finfo(logits.dtype).tiny) ** gamma if gamma else torch.ones_like(right)
    loss = weight * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return loss if alpha is None else loss * (alpha * targets + (1 - alpha) * (1 - targets))


def focal_loss_star(
    logits: Float[Tensor, "*n"], targets: Float[Tensor, "*n"], *, alpha: float | None = 0.25, gamma: float | int = 2.0
) -> Float[Tensor, "*n"]:
    """The paper's other form, ``-alpha_t log(sigmoid(gamma x_t)) / gamma`` with x_t the score towards the target
    (appendix A, with beta = 0).

    Args:
        logits: Scores.
        targets: 0 or 1.
        alpha: As for `focal_loss`.
        gamma: Above 0.
    """
    loss = -F.logsigmoid(gamma * logits * (2 * targets - 1)) / gamma
    return loss if alpha is None else loss * (alpha * targets + (1 - alpha) * (1 - targets))
