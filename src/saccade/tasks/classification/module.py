"""One training step and one validation step of classification and regression."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.losses.classification import multi_label_loss, ordinal_loss, regression_loss
from saccade.metrics.classification import SCORE_OF, quick_score
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.targets import probabilities
from saccade.tasks.gather import of_all_processes
from saccade.tasks.module import TaskModule, Trial

TRIED = 8  # images of the look before training; batch norm needs more than one
OwnLoss = Callable[[nn.Module, Tensor, Tensor, Callable[[Tensor], Tensor]], Tensor]


class ClassificationModule(TaskModule):
    """A network and its loss; see `TaskModule` for the rest.

    Args:
        network: Takes (b, c, *space), gives scores (b, outputs).
        config: The run.
        steps_per_epoch: Optimiser steps, for the schedule.
        training_loss: A system's own way to learn from a batch; see `saccade.systems.Implementation`.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ClassificationConfig,
        steps_per_epoch: int,
        training_loss: OwnLoss | None = None,
    ) -> None:
        # Not channels last: the backward pass of a small ResNet crashed the process then (batch of two, torch 2.13).
        super().__init__(network, config.training, steps_per_epoch)
        self.config, self.training_loss = config, training_loss
        self.found: dict[int, tuple[Tensor, Tensor]] = {}

    def losses(self, logits: Float[Tensor, "b k"], targets: Tensor) -> Float[Tensor, "b"]:
        """The loss of each case."""
        training, data = self.config.training, self.config.data
        given = training.class_weights
        weights = torch.tensor(given, device=logits.device) if isinstance(given, tuple) else None
        logits = logits.float()
        if data.kind == "regression":
            mean, std = (torch.tensor(v, device=logits.device) for v in (data.target_mean, data.target_std))
            return regression_loss(logits, (targets - mean) / std, kind=training.loss)
        if data.kind == "multi_label":
            return multi_label_loss(logits, targets, weights=weights, smoothing=training.label_smoothing)
        if data.kind == "ordinal":
            return ordinal_loss(logits, targets, weights=weights, smoothing=training.label_smoothing)
        return F.cross_entropy(logits, targets, weights, reduction="none", label_smoothing=training.label_smoothing)

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        """The mean loss of a batch; of several processes' parts, which are equal, the mean is that of the whole."""
        return self.finite(self._loss_of(self.network, *batch))

    def _loss_of(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        def loss(logits: Tensor) -> Tensor:
            return self.losses(logits, targets).mean()

        if self.training_loss is not None:
            return self.training_loss(network, images, targets, loss)
        return loss(network(images))

    def trial(self, batch: Sequence[Tensor]) -> Trial:
        """Up to eight images."""
        images, targets = batch[0][:TRIED], batch[1][:TRIED]
        data, training = self.config.data, self.config.training
        plain = training.class_weights is None and not training.label_smoothing and self.training_loss is None
        chance = {"classes": math.log(max(1, len(data.classes))), "ordinal": math.log(2), "multi_label": math.log(2)}
        return Trial(
            images,
            (len(images), data.outputs),
            lambda network: self._loss_of(network, images, targets),
            chance.get(data.kind) if plain else None,
            "batch",
        )

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        """Keep scores and targets until all held-out cases have been seen."""
        numbers, images, targets = batch
        logits = self.best_network.eval()(images).float()
        for number, scores, target in zip(numbers.tolist(), logits.cpu(), targets.cpu(), strict=True):
            self.found[number] = (scores, target)

    def on_validation_epoch_end(self) -> None:
        found = [pair for _, pair in sorted(of_all_processes(self.found).items())]
        self.found = {}
        logits, targets = (torch.stack(part) for part in zip(*found, strict=True))
        data = self.config.data
        self.log("val_loss", self.losses(logits, targets).mean())
        said = probabilities(logits, data)
        score = quick_score(data.kind, targets.double().numpy(), said.double().numpy())
        self.log(f"val_{SCORE_OF[data.kind][0]}", torch.tensor(score))


def own_loss(implementation: Any) -> OwnLoss | None:
    """A system's own way to learn from a batch, if it has one."""
    found: OwnLoss | None = getattr(implementation, "training_loss", None)
    return found
