"""Images as the network takes them and the true heat maps; in training both changed as seed, epoch and case say."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset

from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image, read_image
from saccade.data.landmarks.case import LandmarkCase
from saccade.data.landmarks.placement import Placement, affine_of, place
from saccade.errors import InputError
from saccade.tasks.augment import View, draw_view, take_image
from saccade.tasks.landmarks.config import Data, LandmarksConfig

Item = tuple[Tensor, Tensor]


def prepare_image(image: Image, data: Data, where: str) -> Float[Tensor, "c *space"]:
    """An image as a run's network takes it.

    Raises:
        InputError: If it has another number of axes or channels.
    """
    values = Values(**data.intensity.model_dump())
    return prepare(image, channels=data.channels, size=data.size, fit=data.fit, values=values, where=where)


class PreparedLandmarks(Dataset):
    """Images and their landmarks, prepared once and kept in memory as far as they fit.

    Args:
        cases: With landmarks.
        config: Preparation, and how much memory may be used.
    """

    def __init__(self, cases: Sequence[LandmarkCase], config: LandmarksConfig) -> None:
        self.cases, self.config = list(cases), config
        self.placements: dict[int, Placement] = {}
        self._left = int(config.training.cache_memory_gb * 2**30)
        self._kept: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Item:
        """Image (c, *space), and positions (n, d) on its grid from the first pixel's edge; NaN where one is missing."""
        if index in self._kept:
            return self._kept[index]
        case, data = self.cases[index], self.config.data
        image = read_image(case.source)
        x = prepare_image(image, data, f"case {case.id}: {case.source}")
        placement = place(image, affine_of(case.source), data.size, data.fit)
        self.placements[index] = placement
        known = self.known(index)
        positions = np.full_like(known, np.nan)
        there = np.isfinite(known).all(1)
        positions[there] = placement.to_grid(known[there])
        item = x, torch.from_numpy(positions).float()
        if (size := x.nbytes + positions.nbytes) <= self._left:
            self._left -= size
            self._kept[index] = item
        return item

    def known(self, index: int) -> Float[np.ndarray, "n d"]:
        """The landmarks of a case in the user's coordinates, NaN where one is missing."""
        case, dims = self.cases[index], len(self.config.data.size)
        points = [case.points.get(name, (float("nan"),) * dims) for name in self.config.data.names]
        if wrong := [len(point) for point in points if len(point) != dims]:
            raise InputError(f"case {case.id}: its points must have {dims} coordinates, got {wrong[0]}.")
        return np.array(points, float)

    def prepare(self) -> None:
        """Look at every image now, so that a bad one is found before hours of training, and keep what fits.

        Raises:
            InputError: If one cannot be used.
        """
        for index in range(len(self)):
            self[index]


class ChangedLandmarks(Dataset):
    """Training items; item (epoch, position, case) is always the same, whoever asks for it and when."""

    def __init__(self, prepared: PreparedLandmarks) -> None:
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Image, heat maps (n, *space), and which landmarks count (n,)."""
        epoch, place_in_epoch, index = key
        config = self.prepared.config
        image, positions = self.prepared[index]
        seed = hash((config.training.seed, epoch, place_in_epoch, index)) % 2**63
        generator = torch.Generator().manual_seed(seed)
        flat = image.ndim == 3
        volume = image[..., None] if flat else image  # a picture is a volume of one slice
        patch = tuple(volume.shape[1:])
        view = draw_view(
            config.augmentation, patch, patch, spacing_mm=(1.0, 1.0, 1.0), anchor=None, generator=generator
        )
        changed = take_image(view, volume, patch)
        moved = move_points(view, positions, patch)
        if len(view.flips) % 2:
            moved = moved[config.data.mirrored]
        maps, counts = heat_maps(moved, config.data.size, config.sigma)
        return (changed[..., 0] if flat else changed).clone(), maps, counts


class Numbered(Dataset):
    """Chosen held-out items with the number of their case: (number, image, positions)."""

    def __init__(self, prepared: PreparedLandmarks, numbers: Sequence[int]) -> None:
        self.prepared, self.numbers = prepared, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        number = self.numbers[index]
        return (number, *self.prepared[number])


def move_points(view: View, positions: Float[Tensor, "n d"], patch: tuple[int, ...]) -> Float[Tensor, "n d"]:
    """Where points of an image are in a view of it that has the image's own size.

    Args:
        view: Of the whole image; a picture is a volume of one slice.
        positions: From the first pixel's edge.
        patch: Size of image and view.
    """
    dims = positions.shape[1]
    middle = (torch.tensor(patch, dtype=torch.float32)[:dims] - 1) / 2
    indices = positions - 0.5
    if view.matrix is not None:
        centre = torch.tensor(view.centre, dtype=torch.float32)[:dims]
        indices = (indices - centre) @ torch.linalg.inv(view.matrix[:dims, :dims]).T + middle
    for axis in view.flips:
        indices[:, axis] = patch[axis] - 1 - indices[:, axis]
    return indices + 0.5


def heat_maps(
    positions: Float[Tensor, "n d"], size: Sequence[int], sigma: float
) -> tuple[Float[Tensor, "n *space"], Bool[Tensor, "n"]]:
    """True heat maps: Gaussians of height 1; and which landmarks count.

    One that is missing does not count, as nobody says where it is not; one that has left the image by being changed
    counts, and is nowhere.

    Args:
        positions: From the first pixel's edge, NaN where missing.
        size: Of the maps.
        sigma: Standard deviation in pixels.
    """
    known = positions.isfinite().all(1)
    places = torch.where(known[:, None], positions, torch.full_like(positions, -1e4))
    maps = torch.ones(len(places), *[1] * len(size))
    for axis, length in enumerate(size):
        away = (torch.arange(length) + 0.5 - places[:, axis, None]) / sigma
        shape = [len(places), *[1] * len(size)]
        shape[1 + axis] = length
        maps = maps * torch.exp(-0.5 * away**2).reshape(shape)
    return maps, known
