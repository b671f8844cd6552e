"""What visual attention is trained with beside the likelihood of the words.

Xu et al., 2015, https://arxiv.org/abs/1502.03044, section 4.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.errors import InputError


def doubly_stochastic_penalty(
    alphas: Float[Tensor, "b t n"], *, mask: Bool[Tensor, "b t"] | None = None, target: int | float = 1.0
) -> Float[Tensor, ""]:
    """``sum_i (target - sum_t alpha_ti)^2``, mean over the batch (eq. 14): every place is to be seen about once.

    With fewer words than places the sums cannot all be 1, and the penalty flattens the maps. ``target = t / n``, or a
    small factor before the penalty, keeps them sharp.

    Args:
        alphas: Weights of every step.
        mask: True at words, False at padding, which is left out.
        target: What a place's weights are to sum to. Default 1, as in the paper.

    Differs from the authors' code: none but the mask; their batches have captions of one length.

    >>> doubly_stochastic_penalty(torch.tensor([[[0.5, 0.5], [1.0, 0.0]]]))
    tensor(0.5000)
    """
    seen = alphas if mask is None else alphas * mask[..., None]
    return (target - seen.sum(1)).square().sum(-1).mean()


def score_function_loss(
    negative_log_likelihood: Float[Tensor, "b"],
    log_probability: Float[Tensor, "b"],
    entropy: Float[Tensor, "b"],
    *,
    baseline: Float[Tensor, ""] | int | float = 0.0,
    reward_weight: int | float = 0.1,
    entropy_weight: int | float = 0.002,
) -> Float[Tensor, ""]:
    """A loss whose gradient is the paper's estimate for hard attention (section 4.1), mean over the batch.

    ``d log p(y|s,a) + lambda_r (log p(y|s,a) - b) d log p(s|a) + lambda_e d H(s)``, with the sign turned. The reward
    log p(y|s,a) is held constant in the middle term, which is what makes it REINFORCE.

    Args:
        negative_log_likelihood: -log p(y|s,a) of each caption.
        log_probability: log p(s|a): sum over the caption's steps of `Glance.log_probability`.
        entropy: Sum over the steps of `Glance.entropy`.
        baseline: b, what the log likelihood is expected to be; `MovingBaseline` keeps it.
        reward_weight: The paper's lambda_r. Default 0.1, as in the authors' code; 1 makes the estimate unbiased.
        entropy_weight: The paper's lambda_e. Default 0.002, as in the authors' code.

    >>> score_function_loss(torch.tensor([2.0]), torch.tensor([-0.5]), torch.tensor([0.0]), reward_weight=1.0)
    tensor(1.)
    """
    advantage = -negative_log_likelihood.detach() - baseline
    reinforced = negative_log_likelihood - reward_weight * advantage * log_probability
    return (reinforced - entropy_weight * entropy).mean()


class MovingBaseline(nn.Module):
    """The running mean of the reward: ``b = decay * b + (1 - decay) * mean reward``, from 0.

    Args:
        decay: Share of the old value. Default 0.9, as in the paper.

    Raises:
        InputError: If ``decay`` is not in [0, 1).

    >>> baseline = MovingBaseline()
    >>> baseline.update(torch.tensor([-10.0, -30.0]))
    >>> baseline.value
    tensor(-2.)
    """

    def __init__(self, decay: int | float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"MovingBaseline: decay must be at least 0 and below 1, got {decay}.")
        self.decay = decay
        self.value: Tensor
        self.register_buffer("value", torch.zeros(()))

    def update(self, reward: Float[Tensor, "b"]) -> None:
        """Take in the rewards of a batch, after they were used."""
        self.value.lerp_(reward.detach().mean().to(self.value), 1 - self.decay)
