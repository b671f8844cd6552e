"""Images as the network takes them and the true heat maps; in training both changed as seed, epoch and case say."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image, read_image
from saccade.data.landmarks.case import LandmarkCase
from saccade.data.landmarks.placement import Placement, affine_of, place
from saccade.errors import InputError
from saccade.tasks.augment import View, change_whole
from saccade.tasks.landmarks.config import Data, LandmarksConfig
from saccade.tasks.prepared import Prepared, Views

Item = tuple[Tensor, Tensor]


def prepare_image(image: Image, data: Data, where: str) -> Float[Tensor, "c *space"]:
    """An image as a run's network takes it.

    Raises:
        InputError: If it has another number of axes or channels.
    """
    values = Values(**data.intensity.model_dump())
    return prepare(image, channels=data.channels, size=data.size, fit=data.fit, values=values, where=where)


class PreparedLandmarks(Prepared[LandmarkCase, Item]):
    """Images (c, *space), and positions (n, d) on their grid from the first pixel's edge; NaN where one is missing.

    Attributes:
        placements: Of the images prepared so far, by number.
    """

    def __init__(self, cases: Sequence[LandmarkCase], config: LandmarksConfig) -> None:
        super().__init__(cases, config)
        self.placements: dict[int, Placement] = {}

    def make(self, index: int) -> Item:
        case, data = self.cases[index], self.config.data
        image = read_image(case.source)
        x = prepare_image(image, data, f"case {case.id}: {case.source}")
        placement = place(image, affine_of(case.source), data.size, data.fit)
        self.placements[index] = placement
        known = self.known(index)
        positions = np.full_like(known, np.nan)
        there = np.isfinite(known).all(1)
        positions[there] = placement.to_grid(known[there])
        return x, torch.from_numpy(positions).float()

    def known(self, index: int) -> Float[np.ndarray, "n d"]:
        """The landmarks of a case in the user's coordinates, NaN where one is missing."""
        case, dims = self.cases[index], len(self.config.data.size)
        points = [case.points.get(name, (float("nan"),) * dims) for name in self.config.data.names]
        if wrong := [len(point) for point in points if len(point) != dims]:
            raise InputError(f"case {case.id}: its points must have {dims} coordinates, got {wrong[0]}.")
        return np.array(points, float)


class ChangedLandmarks(Views[Item]):
    """Changed images, their heat maps (n, *space), and which landmarks count (n,)."""

    def view(self, index: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        config = self.prepared.config
        image, positions = self.prepared[index]
        changed, view = change_whole(image, config.augmentation, generator)
        moved = move_points(view, positions, tuple(image.shape[1:]))
        if len(view.flips) % 2:
            moved = moved[config.data.mirrored]
        return changed, *heat_maps(moved, config.data.size, config.sigma)


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
