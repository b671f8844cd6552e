"""Everything a segmentation run depends on, in one validated, re-runnable form: what `config.yaml` holds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from saccade.data.volume import WRITABLE
from saccade.tasks.config import Augmentation, Length, RunConfig, TrainingSettings
from saccade.tasks.settings import Settings

MOST_CLASSES, MOST_VALUE = 255, 65535
Millimetres = Annotated[float, Field(gt=0)]
Triple = tuple[Millimetres, Millimetres, Millimetres]
Size = tuple[Length, Length, Length]


class Intensity(Settings):
    """How voxel values are prepared for the network."""

    kind: Literal["ct_window", "z_score", "min_max"] = Field(
        description="ct_window: clip to [low, high], subtract mean, divide by std (all in HU); "
        "z_score: each volume to mean 0 and standard deviation 1; min_max: each volume to 0..255"
    )
    low: float | None = Field(None, description="lower end of the window, HU")
    high: float | None = Field(None, description="upper end of the window, HU")
    mean: float = Field(0.0, description="subtracted after clipping, HU")
    std: float = Field(1.0, gt=0, description="divided by after clipping, HU")

    @model_validator(mode="after")
    def _window_is_a_window(self) -> "Intensity":
        if self.kind == "ct_window" and (self.low is None or self.high is None or self.low >= self.high):
            raise ValueError(f"ct_window needs low < high, got {self.low} and {self.high}")
        return self


class Data(Settings):
    """The data set and its preparation."""

    root: Path = Field(description="folder of the data set")
    label_names: dict[int, str] = Field(description="foreground label values and their names")
    channels: int = Field(1, ge=1, description="images per case")
    spacing_mm: Triple | None = Field(
        None, description="voxel size all cases are resampled to; null keeps each its own"
    )
    patch_size: Size = Field(description="voxels the network sees at once, along right, anterior, superior")
    intensity: Intensity
    labelled: dict[str, tuple[int, ...]] = Field(
        default_factory=dict, description="partially labelled cases: values of the classes that were labelled in each"
    )

    @field_validator("label_names")
    @classmethod
    def _names_classes(cls, names: dict[int, str]) -> dict[int, str]:
        # class indices are stored in 8 bits, label values in 16
        if not 1 <= len(names) <= MOST_CLASSES or not all(1 <= value <= MOST_VALUE for value in names):
            raise ValueError(f"must name 1 to {MOST_CLASSES} classes with values from 1 to {MOST_VALUE}")
        return names

    @model_validator(mode="after")
    def _labelled_are_classes(self) -> "Data":
        for case, values in self.labelled.items():
            if not values or not set(values) <= set(self.label_names):
                raise ValueError(f"labelled: case {case} must have values of label_names, got {list(values)}")
        return self


class Training(TrainingSettings):
    """Loss, optimiser, schedule and length."""

    loss: Literal["dice_cross_entropy", "squared_dice", "published_dice", "cross_entropy", "homework_dice"] = (
        "dice_cross_entropy"
    )
    logit_scale: float = Field(100.0, gt=0, description="factor on the logits inside homework_dice")
    foreground_fraction: float = Field(0.5, ge=0, le=1, description="part of the patches centred on a labelled voxel")
    cache: Path | None = Field(None, description="folder where prepared cases are kept for this and other runs")
    attention_epochs: tuple[Length, ...] = Field(
        (3, 6, 10, 60, 150), description="epochs after which attention is kept to look at, and the last; [] keeps none"
    )

    @field_validator("cache")
    @classmethod
    def _kept_anywhere(cls, path: Path | None) -> Path | None:
        return path.resolve() if path else None


class Inference(Settings):
    """How a whole volume is put together from patches."""

    overlap: float = Field(0.5, ge=0, lt=1, description="overlap of neighbouring windows, as a part of the patch")
    mirror_axes: tuple[Literal[0, 1, 2], ...] = Field((), description="axes over whose mirror images is averaged")
    file_pattern: str = Field("{case}.nii.gz", description="name of a result below the output folder")

    @field_validator("file_pattern")
    @classmethod
    def _names_the_case(cls, pattern: str) -> str:
        rest = pattern.replace("{case}", "")
        if rest == pattern or ".." in rest or rest.startswith("/") or set("{}") & set(rest):
            raise ValueError("must hold {case}, no other braces, and stay below the output folder")
        if not rest.endswith(WRITABLE):
            raise ValueError(f"must end in {', '.join(WRITABLE)}")
        return pattern


class SegmentationConfig(RunConfig):
    """One segmentation run."""

    task: Literal["segmentation"] = "segmentation"
    data: Data
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    inference: Inference = Inference()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one patch that the network takes, (c, *space)."""
        patch = self.data.patch_size
        return (self.data.channels, *(patch[:2] if patch[2] == 1 else patch))

    @property
    def classes(self) -> list[int]:
        """Label value of every output channel; channel 0 is background."""
        return [0, *sorted(self.data.label_names)]
