"""Training patches in an order, at places and with changes that only seed, epoch and case decide."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from saccade.data.layouts import Case, load_case
from saccade.data.prepare import Normalise, check_channels, prepare_image, prepare_labels
from saccade.tasks.augment import draw_view, take_view
from saccade.tasks.segmentation.cache import PreparedCache
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.labelled import known_labels, labelled_classes

FOREGROUND_SAMPLES = 2000  # remembered labelled voxels per class and case, enough to centre patches on


class PreparedCases(Dataset):
    """Cases, decoded and prepared once and kept in memory or, with ``training.cache``, in files.

    Args:
        cases: Labelled cases.
        config: Preparation, and where the prepared cases are kept. Without a folder, cases beyond
            ``training.cache_memory_gb`` are made anew each time they are asked for; with one they are read from there.
    """

    def __init__(self, cases: Sequence[Case], config: SegmentationConfig) -> None:
        self.cases, self.config = list(cases), config
        self.spacing_mm = config.data.spacing_mm or (1.0, 1.0, 1.0)
        folder = config.training.cache
        self._cache = None if folder is None else PreparedCache(folder, config)
        self._left = int(config.training.cache_memory_gb * 2**30)
        self._kept: dict[int, tuple[Tensor, Tensor, list[Tensor]]] = {}

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Image (c, i, j, k), class indices (i, j, k) and, for each class present, voxels that carry it (n, 3)."""
        if index in self._kept:
            return self._kept[index]
        prepared = self._from_cache(index) or self._prepare(self.cases[index])
        size = sum(part.nbytes for part in (prepared[0], prepared[1], *prepared[2]))
        if size <= self._left:
            self._left -= size
            self._kept[index] = prepared
        return prepared

    def prepare(self) -> None:
        """Look at every case now, so that a bad one is found before hours of training, and keep what fits.

        Raises:
            InputError: If a case cannot be used.
        """
        for index in range(len(self)):
            self[index]

    def _from_cache(self, index: int) -> tuple[Tensor, Tensor, list[Tensor]] | None:
        """From the folder, once it has been put there; None without a folder."""
        if self._cache is None:
            return None
        case = self.cases[index]
        if (found := self._cache.read(case)) is None:
            self._cache.write(case, self._prepare(case))
            found = self._cache.read(case)
        return found

    def _prepare(self, case: Case) -> tuple[Tensor, Tensor, list[Tensor]]:
        data = self.config.data
        volume, label = load_case(case)
        if label is None:
            raise ValueError(f"PreparedCases: case '{case.id}' has no label.")
        check_channels(volume, data.channels, case.id)
        image, _ = prepare_image(volume, spacing_mm=data.spacing_mm, normalise=Normalise(**data.intensity.model_dump()))
        label = known_labels(self.config, case, label)
        classes = prepare_labels(label, tuple(image.shape[1:]), self.config.classes)
        generator = torch.Generator().manual_seed(0)  # the same for a case wherever it stands in a list
        places = []
        for value in range(1, len(self.config.classes)):
            voxels = torch.nonzero(classes == value)
            if len(voxels):
                places.append(voxels[torch.randperm(len(voxels), generator=generator)[:FOREGROUND_SAMPLES]].clone())
        return image, classes, places


class Patches(Dataset):
    """Random patches; item (epoch, position, case) is always the same patch, whoever asks for it and when.

    An item is an image (c, a, b, d), its class indices (a, b, d) and, where some cases are only partially labelled,
    which classes were labelled in its case (classes,).
    """

    def __init__(self, prepared: PreparedCases) -> None:
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, ...]:
        epoch, position, index = key
        config = self.prepared.config
        patch = config.data.patch_size
        image, labels, places = self.prepared[index]
        generator = torch.Generator().manual_seed(hash((config.training.seed, epoch, position, index)) % 2**63)
        anchor = None
        if places and torch.rand((), generator=generator) < config.training.foreground_fraction:
            voxels = places[int(torch.randint(len(places), (), generator=generator))]
            anchor = tuple(voxels[int(torch.randint(len(voxels), (), generator=generator))].tolist())
        view = draw_view(
            config.augmentation,
            tuple(image.shape[1:]),
            patch,
            spacing_mm=self.prepared.spacing_mm,
            anchor=anchor,
            generator=generator,
        )
        patch_of = take_view(view, image, labels, patch)
        if not config.data.labelled:
            return patch_of
        return *patch_of, labelled_classes(config, self.prepared.cases[index])
