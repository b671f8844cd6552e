"""What Subject2Vec learns from: its task, the patches themselves, and attention that is not the same everywhere.

Singla et al., 2018, https://arxiv.org/abs/1806.11217.
"""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

OFFSET = 1e-4  # keeps the logarithm of a weight finite, as in the authors' code


def attention_spread(weights: Float[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b"]:
    """``sum_j log(alpha_j + 1e-4)`` over the patches that exist: largest where all weigh the same.

    Args:
        weights: Of each patch; they sum to one.
        mask: Which patches exist.
    """
    return ((weights + OFFSET).log() * mask).sum(1)


def subject_loss(
    task: Float[Tensor, ""],
    patches: Float[Tensor, "b n c *space"],
    reconstruction: Float[Tensor, "m c *space"],
    weights: Float[Tensor, "b n"],
    mask: Bool[Tensor, "b n"],
    *,
    reconstruction_weight: float = 10.0,
    spread_weight: float = 1e-4,
) -> Float[Tensor, ""]:
    """``task + lambda_1 mean (x - x')^2 + lambda_2 sum_j log(alpha_j + 1e-4)``, the last as a mean over subjects.

    The last term falls when weights drive apart: attention becomes sparse.

    Args:
        task: Loss of the predictions: cross-entropy for classes; for numbers, in the paper, the sum over outputs of
            the mean squared error.
        patches: What the network was given.
        reconstruction: `saccade.networks.Subject.reconstruction`.
        weights: `saccade.networks.Subject.weights`.
        mask: Which patches exist.
        reconstruction_weight: The paper's lambda_1. Default 10, as in the authors' code for lungs.
        spread_weight: The paper's lambda_2. Default 1e-4, as in the authors' code for lungs.
    """
    rebuilt = F.mse_loss(reconstruction, patches[mask])
    return task + reconstruction_weight * rebuilt + spread_weight * attention_spread(weights, mask).mean()
