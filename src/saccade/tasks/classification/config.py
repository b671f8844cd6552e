"""Everything a run of classification or regression depends on: what its `config.yaml` holds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.data.classification.targets import MOST_CLASSES, Kind
from saccade.tasks.config import Augmentation, Length, RunConfig, TrainingSettings
from saccade.tasks.settings import Settings

Loss = Literal["auto", "cross_entropy", "binary_cross_entropy", "ordinal", "mse", "l1", "huber"]
# The first is what `auto` means.
LOSSES_OF: dict[str, tuple[str, ...]] = {
    "classes": ("cross_entropy",),
    "multi_label": ("binary_cross_entropy",),
    "ordinal": ("ordinal",),
    "regression": ("huber", "mse", "l1"),
}
Positive = Annotated[float, Field(gt=0)]


class Intensity(Settings):
    """How values are prepared for the network."""

    kind: Literal["standardise", "z_score", "min_max"] = Field(
        description="standardise: subtract mean, divide by std, the same for all; z_score: each image to mean 0 and "
        "standard deviation 1; min_max: each image to 0..1"
    )
    low: float | None = Field(None, description="values below become this; of CT, HU")
    high: float | None = Field(None, description="values above become this")
    mean: tuple[float, ...] = Field((0.0,), description="subtracted, one per channel or one for all")
    std: tuple[Positive, ...] = Field((1.0,), description="divided by, one per channel or one for all")


class Data(Settings):
    """The data set and its preparation."""

    root: Path = Field(description="folder or file of the data set")
    columns: tuple[str, ...] = Field(min_length=1, description="the targets")
    kind: Kind = Field(description="classes, ordinal (classes in an order), multi_label, or regression")
    classes: tuple[str, ...] = Field(description="classes in the order of the outputs; of multi_label the columns")
    channels: int = Field(1, ge=1, description="values per pixel")
    size: tuple[Length, ...] = Field(min_length=2, max_length=3, description="pixels or voxels that the network sees")
    fit: Literal["stretch", "pad", "crop"] = Field(
        "stretch", description="how an image of other proportions comes to that size"
    )
    intensity: Intensity
    target_mean: tuple[float, ...] = Field((0.0,), description="of a regression, subtracted from each target")
    target_std: tuple[Positive, ...] = Field((1.0,), description="of a regression, each target divided by")

    @model_validator(mode="after")
    def _classes_are_several(self) -> "Data":
        fewest = {"regression": 0, "multi_label": 1}.get(self.kind, 2)
        if not fewest <= len(self.classes) <= MOST_CLASSES or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be {fewest} to {MOST_CLASSES} different ones, got {len(self.classes)}")
        if self.kind in ("classes", "ordinal") and len(self.columns) != 1:
            raise ValueError(f"columns must be one for kind {self.kind}, got {', '.join(self.columns)}")
        return self

    @property
    def outputs(self) -> int:
        """Numbers that the network gives."""
        if self.kind == "ordinal":  # one for each step up
            return len(self.classes) - 1
        return len(self.classes) if self.kind == "classes" else len(self.columns)


class Training(TrainingSettings):
    """Loss, optimiser, schedule and length."""

    loss: Loss = Field("auto", description="auto: what fits the targets")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="part of each target spread over all classes")
    class_weights: Literal["balanced"] | tuple[Positive, ...] | None = Field(
        None, description="factor on the loss of each class (of each label where it is present); balanced: by rarity"
    )
    balanced_sampling: bool = Field(False, description="draw each class equally often")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)


class Inference(Settings):
    """How a trained network is applied."""

    mirror_axes: tuple[Literal[0, 1, 2], ...] = Field((), description="axes over whose mirror images is averaged")
    batch_size: int = Field(64, ge=1, description="images at once")
    calibrate: bool = Field(True, description="divide scores by the temperature that fits the held-out cases best")


class ClassificationConfig(RunConfig):
    """One run of classification or regression."""

    task: Literal["classification"] = "classification"
    data: Data
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    inference: Inference = Inference()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one image that the network takes, (c, *space)."""
        return (self.data.channels, *self.data.size)

    @model_validator(mode="after")
    def _settings_fit_the_targets(self) -> "ClassificationConfig":
        kind, training = self.data.kind, self.training
        if training.loss not in ("auto", *LOSSES_OF[kind]):
            known = " or ".join(LOSSES_OF[kind])
            raise ValueError(f"training.loss for kind {kind} must be {known}, got {training.loss}")
        if kind == "regression" and (training.class_weights or training.label_smoothing):
            raise ValueError("a regression has no classes: leave class_weights and label_smoothing out")
        if training.balanced_sampling and kind not in ("classes", "ordinal"):
            raise ValueError(f"balanced_sampling is for classes and levels, not for kind {kind}")
        weights = training.class_weights
        if isinstance(weights, tuple) and len(weights) != len(self.data.classes):
            raise ValueError(f"class_weights must be {len(self.data.classes)} numbers, got {len(weights)}")
        axes = (*self.inference.mirror_axes, *self.augmentation.flip_axes)
        if axes and max(axes) >= len(self.data.size):
            raise ValueError(f"mirror_axes and flip_axes must be below {len(self.data.size)}, got {max(axes)}")
        return self
