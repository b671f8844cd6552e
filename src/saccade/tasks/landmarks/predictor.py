"""A trained network and its CRF applied to images: landmarks in the user's coordinates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.classification.read import Image, read_image
from saccade.data.landmarks.placement import Placement, affine_of, place
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.landmarks.crf import REFINE, Candidates, LandmarkCRF
from saccade.landmarks.hypotheses import Hypotheses, find_hypotheses
from saccade.networks.inference import for_inference
from saccade.tasks.apply import precision_of, usable_device
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.dataset import prepare_image
from saccade.tasks.landmarks.module import heat_of
from saccade.tasks.settings import merge

Picture = np.ndarray | Volume | Path | str


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one image.

    Attributes:
        names: Of the landmarks.
        points: In the user's coordinates, (x, y) pixels or (x, y, z) mm; NaN for one that is called missing.
        scores: Heat there, 0 to 1; of one that is called missing the greatest heat anywhere.
        labels: How each was found: ``maximum`` (the hottest pixel), ``hypothesis 3`` (the third hottest was chosen),
            ``refined`` (no hypothesis was right, the second inference chose a pixel) or ``missing``.
        size: Columns and rows of the picture, None for volumes.
    """

    names: tuple[str, ...]
    points: Float[np.ndarray, "n d"]
    scores: Float[np.ndarray, "n"]
    labels: tuple[str, ...]
    size: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, tuple[float, ...]]:
        """Name -> point, of those that are there."""
        return {
            name: tuple(point.tolist())
            for name, point in zip(self.names, self.points, strict=True)
            if np.isfinite(point).all()
        }


@dataclass(frozen=True)
class Heated:
    """What is known of an image before its landmarks are chosen.

    Attributes:
        maps: Heat, 0 to 1.
        hypotheses: Of each landmark.
        placement: Where the maps' pixels lie.
    """

    maps: Float[np.ndarray, "n *space"]
    hypotheses: tuple[Hypotheses, ...]
    placement: Placement

    def candidates(self) -> list[Candidates]:
        """The hypotheses in the units of a CRF's statistics."""
        return [Candidates.of(one, self.placement.measured) for one in self.hypotheses]

    def heat(self, landmark: int) -> Float[np.ndarray, "pixels"]:
        """One map, flattened."""
        flat: np.ndarray = self.maps[landmark].ravel()
        return flat

    def grid(self) -> Float[np.ndarray, "pixels d"]:
        """Where each pixel is, in the units of a CRF's statistics."""
        indices = np.moveaxis(np.indices(self.maps.shape[1:]), 0, -1).reshape(-1, self.maps.ndim - 1)
        return self.placement.measured(indices + 0.5)


class LandmarksPredictor:
    """Applies a trained network and its CRF.

    Args:
        network: In any state; it is put into evaluation mode. What works on images is a copy arranged for inference.
        config: The run it was trained by.
        crf: Of the run; None finds the hottest pixel of each map whatever ``inference.crf`` says.
        device: Where to compute.
    """

    def __init__(
        self, network: nn.Module, config: LandmarksConfig, *, crf: LandmarkCRF | None = None, device: str = "cpu"
    ) -> None:
        self.device = usable_device(device)
        self.network, self.config, self.crf = network.eval().to(self.device), config, crf
        exported = next(network.parameters(), None) is None  # by another tool, which has arranged it for itself
        self._arranged = self.network if exported else for_inference(self.network)

    def with_inference(self, changes: dict[str, object]) -> "LandmarksPredictor":
        """The same network with other inference settings, for example ``{"crf": "none"}``."""
        values = merge(self.config.model_dump(), {"inference": changes})
        config = LandmarksConfig.parse(values, "predict")
        return LandmarksPredictor(self.network, config, crf=self.crf, device=str(self.device))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the landmarks."""
        return self.config.data.names

    def predict(self, image: Picture) -> Landmarks:
        """The landmarks of an image.

        Args:
            image: A file, a `Volume`, or an array (*space) or (*space, c), whose points are in pixels.

        Raises:
            InputError: If it cannot be read, or has another number of axes or channels.
        """
        (found,) = self.predict_all([image])
        return found

    def predict_all(self, images: Sequence[Picture]) -> Iterator[Landmarks]:
        """The landmarks of many images, a batch of the network at a time."""
        size = self.config.inference.batch_size
        for start in range(0, len(images), size):
            prepared = [self.prepared(image) for image in images[start : start + size]]
            maps = self.heat(torch.stack([x for x, _, _ in prepared]))
            for heat, (_, placement, columns_rows) in zip(maps, prepared, strict=True):
                yield replace(self.locate(self.heated(heat, placement)), size=columns_rows)

    def prepared(self, image: Picture) -> tuple[Float[Tensor, "c *space"], Placement, tuple[int, int] | None]:
        """An image as the network takes it, where its pixels lie, and the columns and rows of a picture.

        Raises:
            InputError: If it cannot be read, or has another number of axes or channels.
        """
        data, affine, where = self.config.data, None, "array"
        if isinstance(image, str | Path):
            where = str(image)
            found, affine = read_image(Path(image)), affine_of(Path(image))
        elif isinstance(image, Volume):
            volume, where = to_canonical(image), "volume"
            affine = volume.affine
            array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
            found = Image(array, volume.spacing_mm)
        elif image.ndim in (len(data.size), len(data.size) + 1):
            found = Image(image if image.ndim > len(data.size) else image[..., None], None)
        else:
            axes = len(data.size)
            raise InputError(
                f"predict: an array must have {axes} axes and at most one for channels, got {image.shape}."
            )
        size = (found.space[1], found.space[0]) if affine is None and len(found.space) == 2 else None
        return prepare_image(found, data, where), place(found, affine, data.size, data.fit), size

    @torch.inference_mode()
    def heat(self, images: Float[Tensor, "b c *space"]) -> Float[np.ndarray, "b n *space"]:
        """Heat maps of prepared images, 0 to 1."""
        with precision_of(self.config.training.precision, self.device):
            scores = self._arranged(images.to(self.device)).float()
        heat = heat_of(scores, kind=self.config.training.loss, sigma=self.config.sigma)
        found: np.ndarray = heat.cpu().numpy()
        return found

    def heated(self, maps: Float[np.ndarray, "n *space"], placement: Placement) -> Heated:
        """Heat maps of an image with their hypotheses."""
        settings = self.config.inference
        found = [find_hypotheses(one, count=settings.hypotheses, radius=self.config.radius) for one in maps]
        return Heated(maps, tuple(found), placement)

    def locate(self, heated: Heated) -> Landmarks:
        """The landmarks, chosen as ``inference.crf`` says."""
        how, count = self.config.inference.crf, len(self.names)
        chosen = [0] * count
        pixels: dict[int, int] = {}
        if how != "none" and self.crf is not None:
            crf = replace(self.crf, floor=self.config.inference.floor, refines=how == "refine" and self.crf.refines)
            candidates = heated.candidates()
            solution = crf.solve(candidates)
            chosen = list(solution.labels)
            if REFINE in chosen:
                pixels = crf.refine(solution, candidates, heated.heat, heated.grid())
        positions = np.full((count, heated.maps.ndim - 1), np.nan)
        scores, labels = np.zeros(count), []
        for i, label in enumerate(chosen):
            heat = heated.maps[i]
            if label >= 0:
                index = heated.hypotheses[i].indices[label]
                positions[i] = peak(heat, index)
                scores[i] = heat[tuple(index)]
                labels.append("maximum" if how == "none" or self.crf is None else f"hypothesis {label + 1}")
            elif label == REFINE:
                refined = np.unravel_index(pixels[i], heat.shape)
                positions[i], scores[i] = np.array(refined) + 0.5, heat[refined]
                labels.append("refined")
            else:
                scores[i] = heat.max()
                labels.append("missing")
        return Landmarks(self.names, heated.placement.to_user(positions), scores, tuple(labels))


def peak(heat: Float[np.ndarray, "*space"], index: np.ndarray) -> Float[np.ndarray, "d"]:
    """Where between the pixels a maximum lies, from the first pixel's edge: the top of a Gaussian through each axis'
    three values around it, at most half a pixel away."""
    place = index + 0.5
    for axis in range(heat.ndim):
        if not 0 < index[axis] < heat.shape[axis] - 1:
            continue
        step = np.eye(heat.ndim, dtype=int)[axis]
        low, middle, high = (np.log(max(float(heat[tuple(index + s * step)]), 1e-6)) for s in (-1, 0, 1))
        bend = low - 2 * middle + high
        if bend < 0:
            place[axis] += float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5))
    return place
