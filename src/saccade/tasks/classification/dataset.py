"""Images as the network takes them, prepared once and kept; in training changed as seed, epoch and case say."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saccade.data.classification.case import Case
from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image, read_image
from saccade.tasks.augment import change_whole
from saccade.tasks.classification.config import ClassificationConfig, Data
from saccade.tasks.classification.targets import encode
from saccade.tasks.prepared import Prepared, Views

Item = tuple[Tensor, Tensor]


def prepare_image(image: Image, data: Data, where: str) -> Tensor:
    """An image (c, *space) as a run's network takes it.

    Raises:
        InputError: If it has another number of axes or channels.
    """
    values = Values(**data.intensity.model_dump())
    return prepare(image, channels=data.channels, size=data.size, fit=data.fit, values=values, where=where)


def where(case: Case) -> str:
    """What errors call a case's image."""
    return f"case {case.id}: {case.source}"


def check_image(network: nn.Module, image: Tensor, where: str) -> None:
    """Let a network that cannot take every image refuse this one: by its own ``check_image(image, where)``, if any.

    Args:
        network: The network.
        image: Prepared, (c, *space).
        where: What an error is to call it.

    Raises:
        InputError: If the network cannot take the image.
    """
    check = getattr(network, "check_image", None)
    if check is not None:
        check(image, where)


class PreparedImages(Prepared[Case, Item]):
    """Images (c, *space) and their targets."""

    def __init__(self, cases: Sequence[Case], config: ClassificationConfig) -> None:
        super().__init__(cases, config)
        self._targets = [encode(case, config.data) for case in self.cases]

    def make(self, index: int) -> Item:
        case = self.cases[index]
        return prepare_image(read_image(case.source), self.config.data, where(case)), self._targets[index]


class ChangedImages(Views[Item]):
    """Changed images and their targets."""

    def view(self, index: int, generator: torch.Generator) -> Item:
        image, target = self.prepared[index]
        return change_whole(image, self.prepared.config.augmentation, generator)[0], target
