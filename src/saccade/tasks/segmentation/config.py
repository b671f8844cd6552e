"""Everything a segmentation run depends on, in one validated, re-runnable form: what `config.yaml` holds."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from saccade.data.volume import WRITABLE
from saccade.tasks.settings import Settings

MOST_CLASSES, MOST_VALUE = 255, 65535
Millimetres = Annotated[float, Field(gt=0)]
Triple = tuple[Millimetres, Millimetres, Millimetres]
Length = Annotated[int, Field(ge=1)]
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


class Augmentation(Settings):
    """Random changes of the training patches; every draw is a function of seed, epoch and case."""

    probability: float = Field(0.5, ge=0, le=1, description="how often a patch is rotated, scaled and shifted")
    rotation_degrees: float = Field(15.0, ge=0, description="largest rotation about each axis")
    scale: tuple[float, float] = Field((0.8, 1.25), description="smallest and largest magnification")
    shift_fraction: float = Field(0.0, ge=0, description="largest shift, as a part of the patch size")
    flip_axes: tuple[Literal[0, 1, 2], ...] = Field((), description="axes mirrored with probability 1/2")
    noise: float = Field(0.0, ge=0, description="largest standard deviation of added noise, after preparation")
    brightness: float = Field(0.0, ge=0, description="largest added constant, after preparation")
    contrast: tuple[float, float] = Field((1.0, 1.0), description="smallest and largest factor on the values")


class Extension(Settings):
    """The plan that a run was made by before it was extended: what the schedule was up to then, it stays."""

    until_epoch: int = Field(ge=1, description="first epoch of the new plan, counted from 0")
    epochs: int = Field(ge=1, description="training.epochs before")
    max_seconds: float | None = Field(None, gt=0, description="training.max_seconds before")


class Mlflow(Settings):
    """Where an MLflow run is kept; matters if `training.loggers` names mlflow."""

    tracking_uri: str | None = Field(
        None, description="address of the store; null: what MLFLOW_TRACKING_URI says, else mlflow/mlflow.db in the run"
    )
    experiment: str = Field("saccade", min_length=1, description="name of the experiment that the run belongs to")


class Training(Settings):
    """Loss, optimiser, schedule and length."""

    loss: Literal["dice_cross_entropy", "squared_dice", "published_dice", "cross_entropy", "homework_dice"] = (
        "dice_cross_entropy"
    )
    logit_scale: float = Field(100.0, gt=0, description="factor on the logits inside homework_dice")
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["warmup_cosine", "polynomial", "halving", "constant"] = Field(
        "warmup_cosine", description="halving: times 1/2 every 250 epochs"
    )
    batch_size: int = Field(2, ge=1)
    epochs: int = Field(100, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1, description="null: every training case once")
    max_seconds: float | None = Field(
        None, gt=0, description="stop after this much training time (validation not counted); the schedule ends there"
    )
    foreground_fraction: float = Field(0.5, ge=0, le=1, description="part of the patches centred on a labelled voxel")
    precision: Literal["auto", "bf16-mixed", "32-true", "16-mixed"] = Field(
        "auto", description="auto: bf16-mixed where the processor has bfloat16 instructions, else 32-true"
    )
    weight_averaging: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights per step; 0 is off")
    validate_every: int = Field(1, ge=1, description="epochs between validations")
    patience: int | None = Field(None, ge=1, description="validations without progress before stopping early")
    keep: Literal["best", "last"] = Field("best", description="weights kept: of the best validation, or the latest")
    cache: Path | None = Field(None, description="folder where prepared cases are kept for this and other runs")
    cache_memory_gb: float = Field(8.0, ge=0, description="memory for prepared cases; those beyond are read again")
    workers: int = Field(0, ge=0, description="processes that prepare patches; 0 uses the training process")
    seed: int = 0
    init_from: Path | None = Field(
        None, description="run, or file of weights, that the network starts from where names and shapes fit"
    )
    freeze: tuple[str, ...] = Field((), description="names of parameters that are not trained; * stands for anything")
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="names of parameters: factor on their learning rate; the last that fits counts",
    )
    attention_epochs: tuple[Length, ...] = Field(
        (3, 6, 10, 60, 150), description="epochs after which attention is kept to look at, and the last; [] keeps none"
    )
    loggers: tuple[Literal["csv", "tensorboard", "mlflow"], ...] = Field(
        ("csv", "tensorboard"), description="where the curves go; metrics.csv is always written"
    )
    mlflow: Mlflow = Mlflow()
    extensions: tuple[Extension, ...] = Field((), description="earlier plans, oldest first; written by --extend")

    @field_validator("init_from", "cache")
    @classmethod
    def _from_anywhere(cls, path: Path | None) -> Path | None:
        return path.resolve() if path else None

    def plan_of(self, epoch: int) -> tuple[int, float | None]:
        """Epochs and seconds that the schedule of an epoch (counted from 0) is stretched over."""
        for before in self.extensions:
            if epoch < before.until_epoch:
                return before.epochs, before.max_seconds
        return self.epochs, self.max_seconds


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


class SegmentationConfig(Settings):
    """One segmentation run."""

    version: int = Field(1, description="version of this format")
    task: Literal["segmentation"] = "segmentation"
    system: str
    preset: str = "default"
    network: dict[str, Any] = Field(default_factory=dict, description="settings of the network, see `saccade systems`")
    data: Data
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    inference: Inference = Inference()

    @property
    def classes(self) -> list[int]:
        """Label value of every output channel; channel 0 is background."""
        return [0, *sorted(self.data.label_names)]
