"""One training step and one validation step of landmarks."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.tasks.gather import of_all_processes
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.dataset import heat_maps
from saccade.tasks.module import TaskModule, Trial

TINY = 1e-12
TRIED = 4  # images of the look before training
SCORE = ("val_localised", "landmarks localised")


class LandmarksModule(TaskModule):
    """A network that gives a heat map for each landmark; see `TaskModule` for the rest.

    Args:
        network: Takes (b, c, *space), gives scores (b, n, *space), of which `heat_of` makes heat.
        config: The run.
        steps_per_epoch: Optimiser steps, for the schedule.
    """

    def __init__(self, network: nn.Module, config: LandmarksConfig, steps_per_epoch: int) -> None:
        super().__init__(network, config.training, steps_per_epoch)
        self.config = config
        self.found: dict[int, tuple[float, float, float]] = {}

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        """The mean loss of a batch; of several processes' parts, which are equal, the mean is taken."""
        images, maps, counts = batch
        return self.finite(self._loss(self.network(images), maps, counts))

    def _loss(
        self, scores: Float[Tensor, "b n *space"], maps: Float[Tensor, "b n *space"], counts: Bool[Tensor, "b n"]
    ) -> Tensor:
        return heat_loss(scores, maps, counts, kind=self.config.training.loss, sigma=self.config.sigma)

    def trial(self, batch: Sequence[Tensor]) -> Trial:
        """Up to four images."""
        images, maps, counts = (part[:TRIED] for part in batch)
        expected = (len(images), len(self.config.data.names), *self.config.data.size)
        return Trial(images, expected, lambda network: self._loss(network(images), maps, counts), None, "batch")

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        """Keep of each held-out case the loss, how many landmarks are there, and how many the hottest pixel finds."""
        numbers, images, positions = batch
        scores = self.best_network.eval()(images).float()
        hottest = hottest_pixels(scores) + 0.5
        for number, score, found, truth in zip(numbers.tolist(), scores, hottest, positions, strict=True):
            maps, counts = heat_maps(truth.cpu(), self.config.data.size, self.config.sigma)
            loss = float(self._loss(score[None].cpu(), maps[None], counts[None]))
            away = (found.cpu() - truth.cpu())[counts].norm(dim=1)
            right = float((away <= 2 * self.config.sigma).sum())
            self.found[number] = (loss, right, float(counts.sum()))

    def on_validation_epoch_end(self) -> None:
        found = torch.tensor(list(of_all_processes(self.found).values()), dtype=torch.float64)
        self.found = {}
        self.log("val_loss", found[:, 0].mean())
        self.log(SCORE[0], found[:, 1].sum() / found[:, 2].sum().clamp_min(1))


def heat_loss(
    scores: Float[Tensor, "b n *space"],
    maps: Float[Tensor, "b n *space"],
    counts: Bool[Tensor, "b n"],
    *,
    kind: str,
    sigma: float,
) -> Tensor:
    """How far heat maps are from the true ones, over the landmarks that count, relative to the size of a true spot.

    Args:
        scores: Before the sigmoid.
        maps: True ones.
        counts: Which landmarks count.
        kind: ``cross_entropy`` (over pixels; a landmark that is nowhere costs nothing), ``bce`` (of every pixel) or
            ``mse``.
        sigma: Of the true maps, pixels.
    """
    spot = spot_of(sigma, maps.ndim - 2)
    if kind == "cross_entropy":
        shares = maps.flatten(2) / maps.flatten(2).sum(2, keepdim=True).clamp_min(TINY)
        of_map = -(shares * scores.float().flatten(2).log_softmax(2)).sum(2)
        return (of_map * counts).sum() / counts.sum().clamp_min(1)
    if kind == "bce":
        each = F.binary_cross_entropy_with_logits(scores.float(), maps, reduction="none")
    else:
        each = (scores.float().sigmoid() - maps) ** 2
    of_map = each.flatten(2).sum(2) / spot
    return (of_map * counts).sum() / counts.sum().clamp_min(1)


def heat_of(scores: Float[Tensor, "b n *space"], *, kind: str, sigma: float) -> Float[Tensor, "b n *space"]:
    """Heat, 0 to 1, of scores that were learned with a loss.

    Of ``cross_entropy`` scores it is the probability that a pixel is the landmark's, as a multiple of the greatest that
    a true map has: 1 where all of it is on one spot, 1/2 at each of two spots that are equally likely.
    """
    if kind != "cross_entropy":
        return scores.sigmoid()
    shares = scores.flatten(2).softmax(2).view_as(scores)
    return (shares * spot_of(sigma, scores.ndim - 2)).clamp_max(1.0)


def spot_of(sigma: float, dims: int) -> float:
    """Sum of a Gaussian of height 1 over all pixels."""
    return float((math.sqrt(2 * math.pi) * sigma) ** dims)


def hottest_pixels(maps: Float[Tensor, "b n *space"]) -> Float[Tensor, "b n d"]:
    """Indices of the maximum of each map."""
    places = torch.unravel_index(maps.flatten(2).argmax(2), maps.shape[2:])
    return torch.stack(places, -1).float()
