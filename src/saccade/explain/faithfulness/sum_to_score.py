"""Whether maps add up to the scores that they explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import kendalltau
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.explain.faithfulness.similarity import Method
from saccade.explain.hooks import check_input, precise, run_quietly
from saccade.explain.layers import Layer


@dataclass(frozen=True)
class SumToScore:
    """Sums of maps beside scores, an item per row and a class per column."""

    sums: Float[Tensor, "b classes"]
    scores: Float[Tensor, "b classes"]

    @property
    def l1(self) -> Float[Tensor, "b"]:
        """Mean absolute difference over the classes, of each item."""
        return (self.sums - self.scores).abs().mean(1)

    @property
    def kendall_tau(self) -> list[float]:
        """Kendall's tau over the classes, -1..1, of each item; NaN where all sums or all scores are alike."""
        rows = zip(self.sums.cpu().numpy(), self.scores.cpu().numpy(), strict=True)
        return [float(kendalltau(sums, scores).statistic) for sums, scores in rows]


def sum_to_score(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    method: Method,
    layer: Layer | None = None,
    classes: Sequence[int] | None = None,
) -> SumToScore:
    """The sum of each class's map on the layer's grid, beside the class's score.

    The measure of Zhao et al., 2018, https://arxiv.org/abs/1806.00102, Table 1: ``l1`` and ``kendall_tau``, to be
    averaged over images. Scores are those that the network gives, which should be before a softmax.

    Args:
        network: A classifier that gives scores (b, classes); left as it was.
        x: A batch.
        method: A function such as `respond_cam`.
        layer: Its layer.
        classes: Which ones; default all.

    Raises:
        InputError: If the network gives no scores (b, classes).
    """
    check_input(network, x, "sum_to_score")
    scores = run_quietly(network, x)
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(x):
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(f"sum_to_score: the network must give scores (b, classes), got {shape}.")
    chosen = list(range(scores.shape[1])) if classes is None else list(np.unique(classes))
    maps = [method(network, x, target=int(number), layer=layer, resize=False) for number in chosen]
    sums = torch.stack([map_.flatten(1).sum(1) for map_ in maps], 1)
    return SumToScore(precise(sums), precise(scores[:, chosen]))
