"""One training step and one validation step of detection."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saccade.losses.detection import Objects
from saccade.metrics.detection import ap50
from saccade.metrics.detection_match import Found
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import PreparedScenes, wanted_of
from saccade.tasks.detection.detections import detections_of
from saccade.tasks.detection.evaluate import found_of, truth_of
from saccade.tasks.gather import of_all_processes
from saccade.tasks.module import TaskModule, Trial

TRIED = 8  # images of the look before training; batch norm needs more than one
SCORE = ("val_ap50", "AP50")


class DetectionModule(TaskModule):
    """A network and the loss of its system; see `TaskModule` for the rest.

    Args:
        network: Takes (b, c, *space).
        config: The run.
        steps_per_epoch: Optimiser steps, for the schedule.
        system: Its module.
        held_out: Images that are validated on.
    """

    def __init__(
        self, network: nn.Module, config: DetectionConfig, steps_per_epoch: int, system: Any, held_out: PreparedScenes
    ) -> None:
        super().__init__(network, config.training, steps_per_epoch)
        self.config, self.system, self.held_out = config, system, held_out
        self.numbers = 2 * len(config.data.size)  # of a box
        self.found: dict[int, tuple[Found, float]] = {}

    def training_step(self, batch: Sequence[Any], index: int) -> Tensor:
        """The loss of a batch; of several processes' parts, which are equal, the mean is taken."""
        return self.finite(self._loss_of(self.network, *batch))

    def _loss_of(self, network: nn.Module, images: Tensor, objects: Sequence[Mapping[str, Any]]) -> Tensor:
        wanted = [wanted_of(Objects(**of_image), self.system, self.config) for of_image in objects]
        parts = self.system.training_loss(network, images, wanted, self.config)
        return torch.stack([part.float() for part in parts.values()]).sum()

    def trial(self, batch: Sequence[Any]) -> Trial:
        """Up to eight images."""
        images, objects = batch[0][:TRIED], batch[1][:TRIED]
        return Trial(images, None, lambda network: self._loss_of(network, images, objects), None, "batch")

    def validation_step(self, batch: Sequence[Any], index: int) -> None:
        """Keep detections and the loss until all held-out images have been seen."""
        numbers, images, objects = batch
        network = self.best_network.eval()
        located = self.system.detect(network, images, self.config)
        loss = float(self._loss_of(network, images, objects))
        for number, said in zip(numbers.tolist(), located, strict=True):
            detections = detections_of(said, self.held_out.frames[number], self.config.data.classes)
            self.found[number] = (found_of(detections, self.numbers, str(number)), loss)

    def on_validation_epoch_end(self) -> None:
        every = dict(sorted(of_all_processes(self.found).items()))
        self.found = {}
        found = {str(number): said for number, (said, _) in every.items()}
        scenes = {str(number): self.held_out.scene(number, self.system) for number in every}
        truth = {number: truth_of(scene, self.numbers) for number, scene in scenes.items()}
        self.log("val_loss", torch.tensor([loss for _, loss in every.values()]).mean())
        self.log(SCORE[0], torch.tensor(ap50(found, truth, self.config.data.classes)))
