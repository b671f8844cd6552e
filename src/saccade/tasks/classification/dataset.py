"""Images as the network takes them, prepared once and kept; in training changed as seed, epoch and case say."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from saccade.data.classification.case import Case
from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image, read_image
from saccade.tasks.augment import draw_view, take_image
from saccade.tasks.classification.config import ClassificationConfig, Data
from saccade.tasks.classification.targets import encode


def prepare_image(image: Image, data: Data, where: str) -> Tensor:
    """An image (c, *space) as a run's network takes it.

    Raises:
        InputError: If it has another number of axes or channels.
    """
    values = Values(**data.intensity.model_dump())
    return prepare(image, channels=data.channels, size=data.size, fit=data.fit, values=values, where=where)


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


class PreparedImages(Dataset):
    """Images and their targets, prepared once and kept in memory as far as they fit.

    Args:
        cases: With targets.
        config: Preparation, and how much memory may be used.
    """

    def __init__(self, cases: Sequence[Case], config: ClassificationConfig) -> None:
        self.cases, self.config = list(cases), config
        self._left = int(config.training.cache_memory_gb * 2**30)
        self._kept: dict[int, Tensor] = {}
        self._targets: list[Tensor] = [encode(case, config.data) for case in self.cases]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (c, *space) and target."""
        if index not in self._kept:
            image = prepare_image(read_image(self.cases[index].source), self.config.data, self._where(index))
            if image.nbytes > self._left:
                return image, self._targets[index]
            self._left -= image.nbytes
            self._kept[index] = image
        return self._kept[index], self._targets[index]

    def prepare(self, network: nn.Module) -> None:
        """Look at every image now, so that a bad one is found before hours of training, and keep what fits.

        Args:
            network: What is to be trained on them.

        Raises:
            InputError: If one cannot be used.
        """
        for index in range(len(self)):
            check_image(network, self[index][0], self._where(index))

    def _where(self, index: int) -> str:
        return f"case {self.cases[index].id}: {self.cases[index].source}"


class ChangedImages(Dataset):
    """Training items; item (epoch, position, case) is always the same image, whoever asks for it and when."""

    def __init__(self, prepared: PreparedImages) -> None:
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        epoch, position, index = key
        config = self.prepared.config
        image, target = self.prepared[index]
        generator = torch.Generator().manual_seed(hash((config.training.seed, epoch, position, index)) % 2**63)
        flat = image.ndim == 3
        volume = image[..., None] if flat else image  # a picture is a volume of one slice
        patch = tuple(volume.shape[1:])
        view = draw_view(
            config.augmentation, patch, patch, spacing_mm=(1.0, 1.0, 1.0), anchor=None, generator=generator
        )
        changed = take_image(view, volume, patch)
        return (changed[..., 0] if flat else changed).clone(), target


class Numbered(Dataset):
    """Chosen held-out items with the number of their case: (number, image, target)."""

    def __init__(self, prepared: PreparedImages, numbers: Sequence[int]) -> None:
        self.prepared, self.numbers = prepared, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        number = self.numbers[index]
        return (number, *self.prepared[number])
