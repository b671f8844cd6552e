"""One training step and one validation step of the segmentation task."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from saccade import losses
from saccade.tasks.gather import flags_of_whole_batch, of_all_processes, whole_batch
from saccade.tasks.module import TaskModule, Trial
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


class SegmentationModule(TaskModule):
    """A network and its loss; see `TaskModule` for the rest.

    Args:
        network: Takes (b, c, *space), gives logits (b, k, *space).
        config: The run.
        steps_per_epoch: Optimiser steps, for the schedule.
    """

    def __init__(self, network: nn.Module, config: SegmentationConfig, steps_per_epoch: int) -> None:
        # channels next to each other in memory: interpolation, pooling and convolution are all faster so
        memory_format = torch.channels_last if config.data.patch_size[2] == 1 else torch.channels_last_3d
        super().__init__(network, config.training, steps_per_epoch, memory_format)
        self.config = config
        self.loss = LOSSES[config.training.loss]
        if config.training.loss == "homework_dice":
            self.loss = partial(losses.homework_dice_loss, logit_scale=config.training.logit_scale)
        self.scores: dict[int, list[float]] = {}

    def trial(self, batch: Sequence[Tensor]) -> Trial:
        """One patch, its class indices and, where some cases are only partially labelled, the classes labelled."""
        image, labels = self.in_dimensions(batch[0][:1]), self.labels_in_dimensions(batch[1][:1])
        labelled, classes = batch[2][:1] if len(batch) > 2 else None, len(self.config.classes)
        is_entropy = self.config.training.loss == "cross_entropy" and labelled is None
        return Trial(
            image,
            (1, classes, *image.shape[2:]),
            lambda network: self.loss(network(image), labels, labelled=labelled),
            math.log(classes) if is_entropy else None,
            "patch",
        )

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        """The loss of a batch: images, class indices and, for partially labelled cases, the classes labelled (b, k)."""
        image, labels, *labelled = batch
        logits, labels = self.network(self.in_dimensions(image)), self.labels_in_dimensions(labels)
        together = whole_batch(logits, labels, len(self.config.classes))
        return self.finite(self.loss(*together, labelled=flags_of_whole_batch(labelled[0]) if labelled else None))

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

    def in_dimensions(self, image: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c *space"]:
        flat = image.squeeze(-1) if self.config.data.patch_size[2] == 1 else image
        return flat.contiguous(memory_format=self.memory_format)

    def labels_in_dimensions(self, labels: Int[Tensor, "b i j k"]) -> Int[Tensor, "b *space"]:
        return labels.squeeze(-1) if self.config.data.patch_size[2] == 1 else labels
