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
    """Cross-entropy and `decision_loss` with the reward R = 1 for an item whose best score is the right class, else 0.

    ``-log p(y) - weight * sum_t (R - b_t) log pi_t + mean_t (R - b_t)^2``, as means over the batch.

    Args:
        scores: Class scores.
        target: Classes.
        log_probabilities: Of the decisions, as of `saccade.networks.RecurrentAttentionModel.look`.
        baselines: The reward expected before each decision.
        reward_weight: As of `decision_loss`.

    >>> import torch
    >>> hybrid_loss(
    ...     torch.tensor([[0.0, 0.0, 9e9]]), torch.tensor([2]), torch.tensor([[-0.5]]), torch.tensor([[0.25]])
    ... )
    tensor(0.9375)
    """
    reward = (scores.argmax(1) == target).to(baselines.dtype)
    decisions = decision_loss(reward, log_probabilities, baselines, reward_weight=reward_weight)
    return F.cross_entropy(scores, target) + decisions


def decision_loss(
    reward: Float[Tensor, "b"],
    log_probabilities: Float[Tensor, "b t"],
    baselines: Float[Tensor, "b t"],
    *,
    reward_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """REINFORCE with a baseline, and the squared error of the baseline, as means over the batch; 0 without decisions.

    ``-weight * sum_t (R - b_t) log pi_t + mean_t (R - b_t)^2``. In the first term ``R - b_t`` is held constant, so that
    it teaches the policy alone; in the second one the baseline learns to expect the reward.

    Args:
        reward: What each item earned.
        log_probabilities: Of its decisions.
        baselines: The reward expected before each decision.
        reward_weight: What REINFORCE counts. Default 1, as in the paper; kevinzakka/recurrent-visual-attention has
            0.01.
    """
    if log_probabilities.shape[1] == 0:  # a single glimpse: nothing was decided
        return baselines.sum()
    advantage = (reward[:, None] - baselines).detach()
    reinforced = -(advantage * log_probabilities).sum(1).mean()
    return reward_weight * reinforced + F.mse_loss(baselines, reward[:, None].expand_as(baselines))
