"""Deletion and insertion: how the score changes as the voxels that a map ranks highest are taken away or given back."""

from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.explain.hooks import check_input, precise, undisturbed
from saccade.explain.perturbation import filling
from saccade.explain.targets import Score, Target


@dataclass(frozen=True)
class Curve:
    """Scores along a curve.

    Attributes:
        fractions: Part of the voxels that has been taken away (or given back), 0 to 1.
        scores: The score of each item at each fraction.
    """

    fractions: Float[Tensor, "steps"]
    scores: Float[Tensor, "b steps"]

    @property
    def auc(self) -> Float[Tensor, "b"]:
        """Area under each item's curve, in units of the score (trapezoids)."""
        return torch.trapezoid(self.scores, self.fractions, dim=1)


def deletion(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    maps: Float[Tensor, "items *grid"],
    *,
    target: Target,
    steps: int = 20,
    fill: float | Tensor | None = None,
    batch: int = 16,
) -> Curve:
    """The score as voxels are covered, those that the map ranks highest first. A faithful map: a fast fall.

    Petsiuk et al., 2018, https://arxiv.org/abs/1806.07421. Its AUC is that of a probability: give a function with a
    softmax as ``target`` for one between 0 and 1.

    Args:
        network: Any module; left as it was.
        x: A batch.
        maps: A map of each item on the input's grid.
        target: As in `grad_cam`.
        steps: Steps from the whole input to none of it.
        fill: What covers: a number, or a tensor that fits ``x``; default each channel's mean.
        batch: Copies that go through the network together.

    Raises:
        InputError: If the maps do not lie on the input's grid, or ``steps`` or ``batch`` is less than 1.
    """
    return _curve("deletion", network, x, maps, target, steps, fill, batch)


def insertion(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    maps: Float[Tensor, "items *grid"],
    *,
    target: Target,
    steps: int = 20,
    fill: float | Tensor | None = None,
    batch: int = 16,
) -> Curve:
    """The score as voxels are uncovered, those that the map ranks highest first. A faithful map: a fast rise.

    Petsiuk et al., 2018, https://arxiv.org/abs/1806.07421. Differs from the paper: covered by ``fill`` (there a blurred
    input, which can be given).

    Args:
        network: As in `deletion`.
        x: As in `deletion`.
        maps: As in `deletion`.
        target: As in `deletion`.
        steps: As in `deletion`.
        fill: As in `deletion`.
        batch: As in `deletion`.

    Raises:
        InputError: As `deletion`.
    """
    return _curve("insertion", network, x, maps, target, steps, fill, batch)


def _curve(
    who: str,
    network: nn.Module,
    x: Tensor,
    maps: Tensor,
    target: Target,
    steps: int,
    fill: float | Tensor | None,
    batch: int,
) -> Curve:
    check_input(network, x, who)
    if maps.shape != (len(x), *x.shape[2:]):
        raise InputError(
            f"{who}: maps must lie on the input's grid, {(len(x), *x.shape[2:])}, got {tuple(maps.shape)}. "
            "Make them with resize=True."
        )
    if min(steps, batch) < 1:
        raise InputError(f"{who}: steps and batch must be at least 1, got {steps} and {batch}.")
    score, cover = Score(target, len(x), who), filling(x, fill)
    voxels = maps[0].numel()
    counts = [ceil(voxels * step / steps) for step in range(steps + 1)]
    start, end = (x, cover) if who == "deletion" else (cover, x)
    rows = []
    with undisturbed(network) as module, torch.no_grad():
        for item in range(len(x)):
            rank, scores = _ranks(maps[item]), []
            for first in range(0, len(counts), batch):
                group = torch.tensor(counts[first : first + batch], device=x.device)
                changed = rank < group.reshape(-1, *[1] * rank.ndim)
                copies = torch.where(changed, end[item : item + 1], start[item : item + 1])
                scores.append(score.of_copies(item, module(copies), len(group)))
            rows.append(torch.cat(scores))
    fractions = torch.tensor(counts, device=x.device) / voxels
    return Curve(fractions, precise(torch.stack(rows)))


def _ranks(map_: Float[Tensor, "*space"]) -> Int[Tensor, "1 *space"]:
    """0 for the voxel with the highest value, 1 for the next; ties in the order of the voxels, NaN last."""
    order = (
        torch.nan_to_num(map_.float(), nan=-torch.inf, posinf=None, neginf=None)
        .flatten()
        .argsort(descending=True, stable=True)
    )
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    return ranks.reshape(1, *map_.shape)
