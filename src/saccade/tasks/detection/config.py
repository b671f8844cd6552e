"""Everything a run of detection depends on: what its `config.yaml` holds."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from saccade.data.classification.targets import MOST_CLASSES
from saccade.tasks.classification.config import Intensity
from saccade.tasks.config import Length, RunConfig, TrainingSettings
from saccade.tasks.detection.augment import BoxAugmentation
from saccade.tasks.settings import Settings

Loss = Literal["auto", "binary_cross_entropy", "focal", "softmax"]


class Data(Settings):
    """The data set and its preparation."""

    root: Path = Field(description="folder or file of the data set")
    classes: tuple[str, ...] = Field(min_length=1, max_length=MOST_CLASSES, description="in the order of the outputs")
    descriptors: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="other columns of the objects that are learnt: name -> values, in order"
    )
    channels: int = Field(1, ge=1, description="values per pixel")
    size: tuple[Length, ...] = Field(
        min_length=2, max_length=3, description="pixels or voxels that each image is stretched to, rows first"
    )
    object_sides: tuple[float, float, float] = Field(
        (16.0, 32.0, 64.0),
        description="of the training objects' sides the least of the classes' percentiles 10, the median, and the "
        "greatest of the classes' percentiles 90, in pixels of that size; a side is the square root of the area, in 3D "
        "the cube root of the volume",
    )
    intensity: Intensity

    @model_validator(mode="after")
    def _names_differ(self) -> "Data":
        for what, names in {"classes": self.classes, **self.descriptors}.items():
            if len(set(names)) < len(names):
                raise ValueError(f"{what} must be different ones, got {', '.join(names)}")
        return self


class Training(TrainingSettings):
    """Loss, optimiser, schedule and length."""

    loss: Loss = Field(
        "auto",
        description="of the classes: auto is the system's own; binary_cross_entropy and focal have no background "
        "class, softmax has",
    )
    alpha: float | None = Field(0.25, gt=0, lt=1, description="focal: weight of objects, 1 - alpha of background")
    gamma: float = Field(2.0, ge=0, description="focal: how fast what is easy fades; 0 for not at all")
    overlap: float = Field(0.5, gt=0, lt=1, description="Jaccard overlap above which an anchor stands for an object")
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)


class Inference(Settings):
    """How a trained network is applied."""

    score: float = Field(0.05, ge=0, le=1, description="detections less sure than this are left out")
    overlap: float = Field(0.5, ge=0, le=1, description="of two of a class that overlap by more, the surer one stays")
    candidates: int = Field(1000, ge=1, description="boxes of each class, the surest, in which duplicates are sought")
    limit: int = Field(100, ge=1, description="detections of an image, all classes together")
    batch_size: int = Field(16, ge=1, description="images at once")


class DetectionConfig(RunConfig):
    """One run of detection."""

    task: Literal["detection"] = "detection"
    data: Data
    augmentation: BoxAugmentation = BoxAugmentation()
    training: Training = Training()
    inference: Inference = Inference()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one image that the network takes, (c, *space)."""
        return (self.data.channels, *self.data.size)

    @property
    def outputs(self) -> int:
        """Scores of an anchor: of each class; with softmax, of background first."""
        return len(self.data.classes) + (self.training.loss == "softmax")

    @model_validator(mode="after")
    def _axes_are_there(self) -> "DetectionConfig":
        axes = self.augmentation.flip_axes
        if axes and max(axes) >= len(self.data.size):
            raise ValueError(f"flip_axes must be below {len(self.data.size)}, got {max(axes)}")
        if self.augmentation.lecture_lighting is not None and self.data.intensity.kind != "standardise":
            raise ValueError("lecture_lighting needs intensity.kind=standardise, of values from 0 to 255")
        return self
