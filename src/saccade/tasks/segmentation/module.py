"""One training step, one validation step, the optimiser and its schedule: the segmentation task for Lightning."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from saccade import losses
from saccade.tasks.gather import flags_of_whole_batch, of_all_processes, whole_batch
from saccade.tasks.parameters import keep_frozen_statistics, rate_groups
from saccade.tasks.seeding import seed_generators
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.windows import apply_windows

LOSSES: dict[str, Callable[..., Tensor]] = {
    "dice_cross_entropy": losses.dice_cross_entropy_loss,
    "squared_dice": losses.dice_loss,
    "published_dice": losses.published_dice_loss,
    "cross_entropy": losses.cross_entropy_loss,
    "homework_dice": losses.homework_dice_loss,
}
VALIDATION_OVERLAP = 0.25  # quicker than the final prediction's, and good enough to choose an epoch by
WARMUP = 0.03  # part of the training in which the learning rate rises from a tenth


class SegmentationModule(lightning.LightningModule):
    """A network, its loss, and the average of its weights that is validated and kept when averaging is on.

    Args:
        network: Takes (b, c, *space), gives logits (b, k, *space).
        config: The run.
        steps_per_epoch: Optimiser steps, for the schedule.
    """

    def __init__(self, network: nn.Module, config: SegmentationConfig, steps_per_epoch: int) -> None:
        super().__init__()
        self.config, self.steps_per_epoch = config, steps_per_epoch
        # channels next to each other in memory: interpolation, pooling and convolution are all faster so
        dims = 2 if config.data.patch_size[2] == 1 else 3
        self.memory_format = torch.channels_last if dims == 2 else torch.channels_last_3d
        for parameter in network.parameters():
            if parameter.ndim == dims + 2:  # `network.to` would refuse a network that has weights of other dimensions
                parameter.data = parameter.data.contiguous(memory_format=self.memory_format)
        self.network = network
        self.loss = LOSSES[config.training.loss]
        if config.training.loss == "homework_dice":
            self.loss = partial(losses.homework_dice_loss, logit_scale=config.training.logit_scale)
        self.scores: dict[int, list[float]] = {}
        self.seconds_left: float | None = None  # set by the time budget, if there is one
        decay = config.training.weight_averaging
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        )
        if self.average is not None:
            self.average.requires_grad_(False)  # several processes would wait for its gradients

    @property
    def best_network(self) -> nn.Module:
        """The network to validate and to keep."""
        return self.average.module if self.average is not None else self.network

    def train(self, mode: bool = True) -> "SegmentationModule":
        super().train(mode)
        keep_frozen_statistics(self.network)
        return self

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        """The loss of a batch: images, class indices and, for partially labelled cases, the classes labelled (b, k)."""
        image, labels, *labelled = batch
        logits, labels = self.network(self.in_dimensions(image)), self.labels_in_dimensions(labels)
        together = whole_batch(logits, labels, len(self.config.classes))
        loss = self.loss(*together, labelled=flags_of_whole_batch(labelled[0]) if labelled else None)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"training: the loss became {loss.item()} at step {self.global_step}.")
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.average is not None:
            # early averages would remember the untrained weights for longer than training lasts
            warm = min(self.config.training.weight_averaging, (1 + self.global_step) / (10 + self.global_step))
            self.average.multi_avg_fn = get_ema_multi_avg_fn(warm)
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        settings = self.config.training
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.optimiser]
        extra: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if settings.optimiser == "sgd" else {}
        groups = rate_groups(self.network, settings.rates)
        return kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True, **extra)

    def validation_step(self, batch: tuple[Any, ...], index: int) -> None:
        """Dice of a whole volume on the prepared grid; classes absent from both truth and prediction do not count.

        Nor do classes that were not labelled in the case.

        Args:
            batch: Number of the case, image (c, i, j, k), class indices (i, j, k) and, if some cases are only partially
                labelled, which classes were labelled in this one (classes,).
            index: Unused, Lightning's.
        """
        case, image, labels, *labelled = batch
        patch = self.config.data.patch_size
        (logits,) = apply_windows(self._logits, image.cpu(), patch, overlap=VALIDATION_OVERLAP, batch=1)
        found, truth = logits.argmax(0), labels.cpu()
        scores = []
        for value in range(1, len(self.config.classes)):
            a, b = found == value, truth == value
            known = not labelled or bool(labelled[0][value])
            both = int(a.sum() + b.sum()) if known else 0
            scores.append(2 * int((a & b).sum()) / both if both else math.nan)
        self.scores[case] = scores

    def on_validation_epoch_end(self) -> None:
        table = torch.tensor([scores for _, scores in sorted(of_all_processes(self.scores).items())])
        self.scores = {}
        per_class = table.nanmean(0)
        self.log("val_dice", per_class.nanmean().nan_to_num(0.0))
        names = self.config.data.label_names
        for value, score in zip(self.config.classes[1:], per_class, strict=True):
            self.log(f"val_dice {names[value]}", score)

    def _logits(self, windows: Float[Tensor, "n c a b d"]) -> list[Tensor]:
        logits = self.best_network.eval()(self.in_dimensions(windows.to(self.device))).float().cpu()
        return [logits[..., None] if logits.ndim < windows.ndim else logits]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # What a network draws (dropout) is a function of seed, epoch, step and process: a step that is done again after
        # a crash is the same, and no state of a generator has to be kept.
        seed_generators(self.config.training.seed, self.current_epoch, batch_idx, self.global_rank)
        rate = self.config.training.learning_rate * schedule_factor(
            self.config.training.schedule, self.progress, self.current_epoch
        )
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate * group["factor"]

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1: steps or, if that is more, the spent part of the time budget."""
        epochs, limit = self.config.training.plan_of(self.current_epoch)
        by_steps = self.global_step / (epochs * self.steps_per_epoch)
        by_time = 1 - self.seconds_left / limit if limit and self.seconds_left is not None else 0.0
        return min(1.0, max(by_steps, by_time))

    def in_dimensions(self, image: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c *space"]:
        flat = image.squeeze(-1) if self.config.data.patch_size[2] == 1 else image
        return flat.contiguous(memory_format=self.memory_format)

    def labels_in_dimensions(self, labels: Int[Tensor, "b i j k"]) -> Int[Tensor, "b *space"]:
        return labels.squeeze(-1) if self.config.data.patch_size[2] == 1 else labels


def schedule_factor(kind: str, progress: float, epoch: int) -> float:
    """What the learning rate is multiplied by.

    Args:
        kind: ``warmup_cosine``, ``polynomial`` ((1 - p)^0.9), ``halving`` (every 250 epochs) or ``constant``.
        progress: p, from 0 to 1.
        epoch: Epochs done.
    """
    if kind == "polynomial":
        return (1 - progress) ** 0.9
    if kind == "halving":
        return 0.5 ** (epoch // 250)
    if kind == "constant":
        return 1.0
    if progress < WARMUP:
        return 0.1 + 0.9 * progress / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))
