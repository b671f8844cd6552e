"""A trained network applied to images: probabilities of classes, or numbers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.data.classification.case import Case, Packed
from saccade.data.classification.read import Image, read_image
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.networks.inference import for_inference
from saccade.tasks.apply import mirrorings, precision_of, usable_device
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.dataset import check_image, prepare_image
from saccade.tasks.classification.targets import probabilities
from saccade.tasks.settings import merge

Picture = np.ndarray | Volume | Path | Packed | str


@dataclass(frozen=True)
class Told:
    """What a network says of an image.

    Attributes:
        label: The most probable class or level; None for labels and regressions.
        values: Of each class, level or label its probability; of a regression each number.
    """

    label: str | None
    values: dict[str, float]


class ImagePredictor(ABC):
    """What tells of images: a network, or several.

    Attributes:
        config: The run that it was trained by.
    """

    config: ClassificationConfig

    @abstractmethod
    def assess(self, images: Sequence[Picture]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b k"]]:
        """Of each image the values (probabilities, or numbers of a regression) and the scores they follow from.

        Raises:
            InputError: If an image cannot be used.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values: classes, levels or labels; the targets of a regression."""
        data = self.config.data
        return data.columns if data.kind == "regression" else data.classes

    def predict(self, image: Picture) -> Told:
        """What is to be said of an image.

        Args:
            image: A file, a `Volume`, or an array (*space) or (*space, c) whose values are like those of the files.

        Raises:
            InputError: If it cannot be read, or has another number of axes or channels.
        """
        (values,) = self.assess([image])[0].tolist()
        return self.told(values)

    def told(self, values: Sequence[float]) -> Told:
        """Values of one image with their names."""
        named = dict(zip(self.names, values, strict=True))
        single = self.config.data.kind in ("classes", "ordinal")
        return Told(max(named, key=lambda name: named[name]) if single else None, named)

    def predict_cases(self, cases: Sequence[Case]) -> Iterator[tuple[Case, list[float], list[float]]]:
        """Case, values and scores of many images, a batch at a time.

        Raises:
            InputError: If an image cannot be used.
        """
        size = self.config.inference.batch_size
        for start in range(0, len(cases), size):
            part = cases[start : start + size]
            values, scores = self.assess([case.source for case in part])
            yield from zip(part, values.tolist(), scores.tolist(), strict=True)


class ClassificationPredictor(ImagePredictor):
    """Applies a trained network.

    Args:
        network: In any state; it is put into evaluation mode. What works on images is a copy arranged for inference.
        config: The run it was trained by.
        temperature: That scores are divided by, unless ``inference.calibrate`` is off.
        device: Where to compute.
    """

    def __init__(
        self, network: nn.Module, config: ClassificationConfig, *, temperature: float = 1.0, device: str = "cpu"
    ) -> None:
        self.device = usable_device(device)
        self.network, self.config, self.temperature = network.eval().to(self.device), config, temperature
        exported = next(network.parameters(), None) is None  # by another tool, which has arranged it for itself
        self._arranged = self.network if exported else for_inference(self.network)

    def with_inference(self, changes: dict[str, object]) -> "ClassificationPredictor":
        """The same network with other inference settings, for example ``{"mirror_axes": [1]}``."""
        values = merge(self.config.model_dump(), {"inference": changes})
        config = ClassificationConfig.parse(values, "predict")
        return ClassificationPredictor(self.network, config, temperature=self.temperature, device=str(self.device))

    @property
    def attends(self) -> bool:
        """Whether the network has attention over positions to show."""
        kinds = ("spatial", "pairwise")
        return any(isinstance(module, Tap) and module.kind in kinds for module in self.network.modules())

    def assess(self, images: Sequence[Picture]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b k"]]:
        """Values and scores of images of any kind."""
        scores = self.logits(torch.stack([self.prepared(image) for image in images]))
        return self.said(scores), scores

    def prepared(self, image: Picture) -> Float[Tensor, "c *space"]:
        """An image as the network takes it.

        Raises:
            InputError: If it cannot be read, has another number of axes or channels, or the network refuses it.
        """
        found, where = self._read(image)
        x = prepare_image(found, self.config.data, where)
        check_image(self.network, x, where)
        return x

    def _read(self, image: Picture) -> tuple[Image, str]:
        """An image of any kind, and what errors are to call it."""
        axes = len(self.config.data.size)
        if isinstance(image, str | Path | Packed):
            return read_image(Path(image) if isinstance(image, str) else image), str(image)
        if isinstance(image, Volume):
            volume = to_canonical(image)
            array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
            if axes == 2 and volume.shape[2] == 1:
                return Image(array[:, :, 0], volume.spacing_mm[:2]), "volume"
            return Image(array, volume.spacing_mm), "volume"
        if image.ndim not in (axes, axes + 1):
            raise InputError(
                f"predict: an array must have {axes} axes and at most one for channels, got {image.shape}."
            )
        return Image(image if image.ndim > axes else image[..., None], None), "array"

    def values(self, images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b n"]:
        """Probabilities, or numbers of a regression, of prepared images."""
        return self.said(self.logits(images))

    def said(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        """What scores of the network mean, calibrated."""
        temperature = self.temperature if self.config.inference.calibrate else 1.0
        return probabilities(logits, self.config.data, temperature)

    @torch.inference_mode()
    def logits(self, images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b k"]:
        """The network's scores of prepared images, averaged over mirror images where these are asked for."""
        ways = mirrorings(self.config.inference.mirror_axes)
        with precision_of(self.config.training.precision, self.device):
            x = images.to(self.device)
            scores = [self._arranged(x.flip([axis + 2 for axis in axes]) if axes else x).float() for axes in ways]
        return torch.stack(scores).mean(0).cpu()
