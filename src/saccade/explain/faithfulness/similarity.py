"""How alike two maps are, and how much a map changes under noise."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.explain.boxes import as_array
from saccade.explain.layers import Layer
from saccade.explain.targets import Target

Method = Callable[..., Tensor]


def similarity(one: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"]) -> list[float]:
    """Spearman's rank correlation of each item's maps, -1..1, of their positive parts: what is shown as evidence.

    0 where one of them is the same everywhere.
    """
    return [_spearman(as_array(a).clip(min=0), as_array(b).clip(min=0)) for a, b in zip(one, other, strict=True)]


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [rankdata(np.nan_to_num(values), axis=None) for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def stability(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    method: Method,
    layer: Layer | None = None,
    noise: float = 0.05,
    draws: int = 3,
    seed: int = 0,
) -> list[float]:
    """How alike the maps of an input and of the same input with a little noise are, as a mean over draws.

    After Alvarez-Melis and Jaakkola, 2018, https://arxiv.org/abs/1806.08049, with rank correlation in place of a
    Lipschitz constant, so that 1 is a map that does not change.

    Args:
        network: Any module; left as it was.
        x: A batch.
        target: As in `grad_cam`.
        method: A function such as `grad_cam`.
        layer: Its layer.
        noise: Standard deviation, as a part of each item's own.
        draws: How often noise is drawn.
        seed: Of the noise.

    Returns:
        Spearman's rank correlation of the maps' positive parts, for each item.

    Raises:
        InputError: If ``noise`` is negative or ``draws`` less than 1.
    """
    if noise < 0 or draws < 1:
        raise InputError(f"stability: noise must not be negative and draws at least 1, got {noise} and {draws}.")
    generator = torch.Generator().manual_seed(seed)
    spread = x.flatten(1).std(1, correction=0).reshape(-1, *[1] * (x.ndim - 1))
    first = method(network, x, target=target, layer=layer)
    found = []
    for _ in range(draws):
        drawn = torch.randn(x.shape, generator=generator).to(x)
        found.append(similarity(first, method(network, x + noise * spread * drawn, target=target, layer=layer)))
    return [float(value) for value in np.mean(found, axis=0)]
