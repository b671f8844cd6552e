"""Everything a run of landmarks depends on: what its `config.yaml` holds."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from saccade.tasks.classification.config import Intensity
from saccade.tasks.config import Augmentation, Length, RunConfig, TrainingSettings
from saccade.tasks.settings import Settings

MOST_LANDMARKS = 500
Potential = Literal["translation", "distance", "angle"]


class Data(Settings):
    """The data set and its preparation."""

    root: Path = Field(description="folder or file of the data set")
    names: tuple[str, ...] = Field(
        min_length=1, max_length=MOST_LANDMARKS, description="landmarks in the order of the outputs"
    )
    swaps: tuple[tuple[str, str], ...] = Field(
        (), description="pairs that are each other's mirror image: a mirrored image has their names exchanged"
    )
    channels: int = Field(1, ge=1, description="values per pixel")
    size: tuple[Length, ...] = Field(min_length=2, max_length=3, description="pixels or voxels that the network sees")
    fit: Literal["stretch", "pad", "crop"] = Field(
        "pad", description="how an image of other proportions comes to that size"
    )
    intensity: Intensity

    @model_validator(mode="after")
    def _names_fit(self) -> "Data":
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names must be different ones, got {', '.join(self.names)}")
        swapped = [name for pair in self.swaps for name in pair]
        if unknown := [name for name in swapped if name not in self.names]:
            raise ValueError(f"swaps must be of landmarks, got {unknown[0]}")
        if len(set(swapped)) < len(swapped):
            raise ValueError("swaps must name each landmark once")
        return self

    @property
    def mirrored(self) -> list[int]:
        """Of each landmark the number of the one that it is in a mirror image."""
        partner = dict(self.swaps) | {b: a for a, b in self.swaps}
        return [self.names.index(partner.get(name, name)) for name in self.names]


class Training(TrainingSettings):
    """Heat maps, loss, optimiser, schedule and length; and how the CRF is learned."""

    loss: Literal["cross_entropy", "bce", "mse"] = Field(
        "cross_entropy",
        description="of the heat maps: cross_entropy over the pixels, one of which is the landmark's; bce, that "
        "of each pixel by itself; mse, squared error of each pixel",
    )
    sigma: float | None = Field(
        None, gt=0, description="standard deviation of a true heat map, in pixels of data.size; null: the size / 64"
    )
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    tuning_part: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="part of the training images that the network does not see: on it the CRF's weights are learned; "
        "0: they stay as they begin",
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        description="within which a hypothesis is right when the CRF's weights are learned; pixels of data.size, of "
        "volumes mm; null: 2 sigma",
    )
    potentials: tuple[Potential, ...] = Field(("translation",), min_length=1, description="on every edge of the CRF")
    graph_width: int = Field(3, ge=1, le=5, description="of the CRF's graph; what exact inference costs rises with it")
    refine: bool = Field(True, description="whether the CRF has the label refine")
    l1: float = Field(0.05, ge=0, description="penalty on the CRF's potentials; what has no weight left is removed")
    missing: bool | None = Field(
        None, description="whether the CRF may call a landmark missing; null: if one is in the training data"
    )


class Inference(Settings):
    """How a trained network is applied."""

    crf: Literal["refine", "map", "none"] = Field(
        "refine",
        description="none: the hottest pixel of each map; map: the best joint choice of hypotheses; refine: the same "
        "with the label refine and the second inference",
    )
    hypotheses: int = Field(10, ge=1, le=40, description="of each landmark, the paper's n")
    radius: float | None = Field(
        None, ge=0, description="least distance of two hypotheses in pixels of data.size; null: 2 sigma"
    )
    floor: float = Field(1e-3, gt=0, lt=1, description="heat is taken to be this at least")
    batch_size: int = Field(16, ge=1, description="images at once")


class LandmarksConfig(RunConfig):
    """One run of landmarks."""

    task: Literal["landmarks"] = "landmarks"
    data: Data
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    inference: Inference = Inference()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one image that the network takes, (c, *space)."""
        return (self.data.channels, *self.data.size)

    @property
    def sigma(self) -> float:
        """Of the true heat maps, pixels."""
        return self.training.sigma or max(1.5, max(self.data.size) / 64)

    @property
    def radius(self) -> float:
        """Least distance of hypotheses, pixels."""
        return 2 * self.sigma if self.inference.radius is None else self.inference.radius

    @property
    def tolerance(self) -> float:
        """Within which a point is right while the run learns."""
        return self.training.tolerance or 2 * self.sigma

    @model_validator(mode="after")
    def _axes_fit(self) -> "LandmarksConfig":
        if self.augmentation.flip_axes and max(self.augmentation.flip_axes) >= len(self.data.size):
            axis = max(self.augmentation.flip_axes)
            raise ValueError(f"flip_axes must be below {len(self.data.size)}, got {axis}")
        return self
