"""Training patches in an order, at places and with changes that only seed, epoch and case decide."""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.data.layouts import Case, load_case
from saccade.data.prepare import Normalise, check_channels, prepare_image, prepare_labels
from saccade.tasks.augment import draw_view, take_view
from saccade.tasks.prepared import Prepared, Views
from saccade.tasks.segmentation.cache import PreparedCache
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.labelled import known_labels, labelled_classes

Item = tuple[Tensor, Tensor, list[Tensor]]
FOREGROUND_SAMPLES = 2000  # remembered labelled voxels per class and case, enough to centre patches on


class PreparedCases(Prepared[Case, Item]):
    """Image (c, i, j, k), class indices (i, j, k) and, for each class present, voxels that carry it (n, 3).

    With ``training.cache`` cases are kept in that folder too: those that memory has no room for are read from there,
    not made anew.
    """

    def __init__(self, cases: Sequence[Case], config: SegmentationConfig) -> None:
        super().__init__(cases, config)
        self.spacing_mm = config.data.spacing_mm or (1.0, 1.0, 1.0)
        folder = config.training.cache
        self._cache = None if folder is None else PreparedCache(folder, config)

    def make(self, index: int) -> Item:
        return self._from_cache(index) or self._prepare(self.cases[index])

    def _from_cache(self, index: int) -> Item | None:
        """From the folder, once it has been put there; None without a folder."""
        if self._cache is None:
            return None
        case = self.cases[index]
        if (found := self._cache.read(case)) is None:
            self._cache.write(case, self._prepare(case))
            found = self._cache.read(case)
        return found

    def _prepare(self, case: Case) -> Item:
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


class Patches(Views[Item]):
    """Random patches.

    An item is an image (c, a, b, d), its class indices (a, b, d) and, where some cases are only partially labelled,
    which classes were labelled in its case (classes,).
    """

    prepared: PreparedCases

    def view(self, index: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        config = self.prepared.config
        patch = config.data.patch_size
        image, labels, places = self.prepared[index]
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
