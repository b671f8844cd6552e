"""A trained detector applied to images: boxes in the user's units."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.networks.inference import for_inference
from saccade.systems import find_implementation
from saccade.tasks.apply import precision_of, usable_device
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import image_of
from saccade.tasks.detection.detections import Detections, Located, detections_of
from saccade.tasks.detection.frame import Frame
from saccade.tasks.settings import merge

Source = np.ndarray | Volume | Path | str


class DetectionPredictor:
    """Applies a trained network.

    Args:
        network: In any state; it is put into evaluation mode. What works on images is a copy arranged for inference.
        config: The run it was trained by.
        device: Where to compute.

    Attributes:
        system: The module of its system.

    Raises:
        InputError: If the network was exported by another tool: what follows it is not part of such a file.
    """

    def __init__(self, network: nn.Module, config: DetectionConfig, *, device: str = "cpu") -> None:
        if next(network.parameters(), None) is None:
            raise InputError(f"{config.system}: a detector works with torch only; leave the backend out.")
        self.device = usable_device(device)
        self.network, self.config = network.eval().to(self.device), config
        self.system: Any = find_implementation(config.system, config.network, config.task)
        self._arranged = for_inference(self.network)

    def with_inference(self, changes: dict[str, object]) -> "DetectionPredictor":
        """The same network with other inference settings, for example ``{"score": 0.3}``."""
        values = merge(self.config.model_dump(), {"inference": changes})
        return DetectionPredictor(self.network, DetectionConfig.parse(values, "predict"), device=str(self.device))

    @property
    def attends(self) -> bool:
        """Whether the network has attention over positions to show."""
        kinds = ("spatial", "pairwise")
        return any(isinstance(module, Tap) and module.kind in kinds for module in self.network.modules())

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.config.data.classes

    def predict(self, image: Source) -> Detections:
        """What is found in an image.

        Args:
            image: A file, a `Volume`, or the array of a picture, (rows, columns) or (rows, columns, c), whose values
                are like those of the files. An array has no place in the world, so a volume is no array.

        Raises:
            InputError: If it cannot be read, or has another number of axes or channels.
        """
        return next(self.predict_all([image]))

    def predict_all(self, images: Sequence[Source]) -> Iterator[Detections]:
        """As `predict` for each of many images, a batch at a time.

        Raises:
            InputError: If an image cannot be used.
        """
        size = self.config.inference.batch_size
        for start in range(0, len(images), size):
            prepared = [self.prepared(image) for image in images[start : start + size]]
            located = self.located(torch.stack([x for x, _ in prepared]))
            for said, (_, frame) in zip(located, prepared, strict=True):
                yield detections_of(said, frame, self.names)

    def prepared(self, image: Source) -> tuple[Float[Tensor, "c *space"], Frame]:
        """An image as the network takes it, and the way from there back to the user's units.

        Raises:
            InputError: If it cannot be used.
        """
        return image_of(Path(image) if isinstance(image, str) else image, self.config.data)

    @torch.inference_mode()
    def located(self, images: Float[Tensor, "b c *space"]) -> list[Located]:
        """What is found in prepared images, in their pixels."""
        with precision_of(self.config.training.precision, self.device):
            found: list[Located] = self.system.detect(self._arranged, images.to(self.device), self.config)
        return found
