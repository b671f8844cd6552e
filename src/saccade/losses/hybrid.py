"""What a network learns from that looks where it decides to look: classes, rewards, and what reward to expect.

Mnih et al., 2014, https://arxiv.org/abs/1406.6247, section 3.
"""

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F


def hybrid_loss(
    scores: Float[Tensor, "b classes"],
    target: Integer[Tensor, "b"],
    log_probabilities: Float[Tensor, "b t"],
    baselines: Float[Tensor, "b t"],
    *,
    reward_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Cross-entropy, REINFORCE with a baseline, and the squared error of the baseline, all as means over the batch.

    ``-log p(y) - weight * sum_t (R - b_t) log pi_t + mean_t (R - b_t)^2``, with the reward R = 1 for an item whose best
    score is the right class, else 0. In the middle term ``R - b_t`` is held constant, so that it teaches the policy
    alone; in the last one the baseline learns to expect the reward.

    Args:
        scores: Class scores.
        target: Classes.
        log_probabilities: Of the decisions, as of `saccade.networks.RecurrentAttentionModel.look`.
        baselines: The reward expected before each decision.
        reward_weight: What REINFORCE counts. Default 1, as in the paper; kevinzakka/recurrent-visual-attention has
            0.01.

    >>> import torch
    >>> hybrid_loss(
    ...     torch.tensor([[0.0, 0.0, 9e9]]), torch.tensor([2]), torch.tensor([[-0.5]]), torch.tensor([[0.25]])
    ... )
    tensor(0.9375)
    """
    classes = F.cross_entropy(scores, target)
    if log_probabilities.shape[1] == 0:  # a single glimpse: nothing was decided
        return classes
    reward = (scores.argmax(1) == target).to(baselines.dtype)[:, None]
    advantage = (reward - baselines).detach()
    reinforced = -(advantage * log_probabilities).sum(1).mean()
    return classes + reward_weight * reinforced + F.mse_loss(baselines, reward.expand_as(baselines))
