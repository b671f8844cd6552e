"""What every task's training does alike: optimiser, schedule, averaged weights, and draws that follow from the seed."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from saccade.tasks.config import TrainingSettings
from saccade.tasks.parameters import keep_frozen_statistics, rate_groups
from saccade.tasks.schedule import schedule_factor
from saccade.tasks.seeding import seed_generators


@dataclass(frozen=True)
class Trial:
    """A small batch for the look before training.

    Attributes:
        image: As the network takes it, (b, c, *space).
        expected: Shape that the network must give; None where it gives no single tensor.
        loss: Of any network on this batch.
        chance: What the loss is when nothing is known; None where that has no plain form.
        unit: What the batch is called.
    """

    image: Tensor
    expected: tuple[int, ...] | None
    loss: Callable[[nn.Module], Tensor]
    chance: float | None
    unit: str


class TaskModule(lightning.LightningModule, ABC):
    """A network, and the average of its weights that is validated and kept when averaging is on.

    A task adds the training step, the validation and the trial.

    Args:
        network: Takes (b, c, *space).
        training: The run's settings.
        steps_per_epoch: Optimiser steps, for the schedule.
        memory_format: Order of images and of weights of their dimensions in memory.
    """

    def __init__(
        self,
        network: nn.Module,
        training: TrainingSettings,
        steps_per_epoch: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.settings, self.steps_per_epoch = training, steps_per_epoch
        self.memory_format = memory_format
        dims = {torch.channels_last: 4, torch.channels_last_3d: 5}
        for parameter in network.parameters():
            # `network.to` would refuse a network that has weights of other dimensions
            if parameter.ndim == dims.get(memory_format):
                parameter.data = parameter.data.contiguous(memory_format=memory_format)
        self.network = network
        self.seconds_left: float | None = None  # set by the time budget, if there is one
        decay = training.weight_averaging
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        )
        if self.average is not None:
            self.average.requires_grad_(False)  # several processes would wait for its gradients

    @abstractmethod
    def trial(self, batch: Any) -> Trial:
        """The first part of a training batch for the look before training."""

    @property
    def best_network(self) -> nn.Module:
        """The network to validate and to keep."""
        return self.average.module if self.average is not None else self.network

    def train(self, mode: bool = True) -> "TaskModule":
        super().train(mode)
        keep_frozen_statistics(self.network)
        return self

    def finite(self, loss: Tensor) -> Tensor:
        """The loss, if it is a number.

        Raises:
            FloatingPointError: If it is none.
        """
        if not torch.isfinite(loss):
            raise FloatingPointError(f"training: the loss became {loss.item()} at step {self.global_step}.")
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.average is not None:
            # early averages would remember the untrained weights for longer than training lasts
            warm = min(self.settings.weight_averaging, (1 + self.global_step) / (10 + self.global_step))
            self.average.multi_avg_fn = get_ema_multi_avg_fn(warm)
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        settings = self.settings
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.optimiser]
        extra: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if settings.optimiser == "sgd" else {}
        groups = rate_groups(self.network, settings.rates)
        return kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True, **extra)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # What a network draws (dropout) is a function of seed, epoch, step and process: a step that is done again after
        # a crash is the same, and no state of a generator has to be kept.
        seed_generators(self.settings.seed, self.current_epoch, batch_idx, self.global_rank)
        steps = self.settings.plan_of(self.current_epoch)[0] * self.steps_per_epoch
        factor = schedule_factor(self.settings, self.progress, epoch=self.current_epoch, steps=steps)
        rate = self.settings.learning_rate * factor
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate * group["factor"]

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1: steps or, if that is more, the spent part of the time budget."""
        epochs, limit = self.settings.plan_of(self.current_epoch)
        by_steps = self.global_step / (epochs * self.steps_per_epoch)
        by_time = 1 - self.seconds_left / limit if limit and self.seconds_left is not None else 0.0
        return min(1.0, max(by_steps, by_time))
