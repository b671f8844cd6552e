"""What every run depends on whatever its task: length, optimiser, schedule, where its curves go."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from saccade.tasks.settings import Settings

Length = Annotated[int, Field(ge=1)]
SIZES = ("in_channels", "out_channels")  # settings of a network that the data decides


class Augmentation(Settings):
    """Random changes of the training images; every draw is a function of seed, epoch and case."""

    probability: float = Field(0.5, ge=0, le=1, description="how often an image is rotated, scaled and shifted")
    rotation_degrees: float = Field(15.0, ge=0, description="largest rotation about each axis")
    scale: tuple[float, float] = Field((0.8, 1.25), description="smallest and largest magnification")
    shift_fraction: float = Field(0.0, ge=0, description="largest shift, as a part of the patch's size")
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


class OneCycle(Settings):
    """The triangle of `training.schedule=one_cycle`; fastai's use_clr=(divisor, cut)."""

    divisor: float = Field(20.0, gt=1, description="how much lower the learning rate is at both ends than at its peak")
    cut: float = Field(4.0, gt=1, description="the peak is reached after 1/cut of the steps")


class TrainingSettings(Settings):
    """Optimiser, schedule and length; a task adds its losses."""

    loss: str
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["warmup_cosine", "polynomial", "halving", "constant", "one_cycle", "range_test"] = Field(
        "warmup_cosine", description="halving: times 1/2 every 250 epochs; range_test: what `saccade lr-find` does"
    )
    one_cycle: OneCycle = OneCycle()
    batch_size: int = Field(2, ge=1)
    epochs: int = Field(100, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1, description="null: every training case once")
    max_seconds: float | None = Field(
        None, gt=0, description="stop after this much training time (validation not counted); the schedule ends there"
    )
    precision: Literal["auto", "bf16-mixed", "32-true", "16-mixed"] = Field(
        "auto", description="auto: bf16-mixed where the processor has bfloat16 instructions, else 32-true"
    )
    weight_averaging: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights per step; 0 is off")
    validate_every: int = Field(1, ge=1, description="epochs between validations")
    patience: int | None = Field(None, ge=1, description="validations without progress before stopping early")
    keep: Literal["best", "last"] = Field("best", description="weights kept: of the best validation, or the latest")
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
    freeze_to: int | None = Field(
        None, description="layer groups before this one are not trained; -1 trains the last alone, -2 the last two"
    )
    group_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="factor on the learning rate of each layer group, from the input on"
    )
    loggers: tuple[Literal["csv", "tensorboard", "mlflow"], ...] = Field(
        ("csv", "tensorboard"), description="where the curves go; metrics.csv is always written"
    )
    mlflow: Mlflow = Mlflow()
    extensions: tuple[Extension, ...] = Field((), description="earlier plans, oldest first; written by --extend")

    @field_validator("init_from")
    @classmethod
    def _from_anywhere(cls, path: Path | None) -> Path | None:
        return path.resolve() if path else None

    def plan_of(self, epoch: int) -> tuple[int, float | None]:
        """Epochs and seconds that the schedule of an epoch (counted from 0) is stretched over."""
        for before in self.extensions:
            if epoch < before.until_epoch:
                return before.epochs, before.max_seconds
        return self.epochs, self.max_seconds


class RunConfig(Settings):
    """One run; a task adds its data, augmentation and inference."""

    version: int = Field(1, description="version of this format")
    task: str
    system: str
    preset: str = "default"
    network: dict[str, Any] = Field(default_factory=dict, description="settings of the network, see `saccade systems`")
    data: Any
    augmentation: Any
    training: TrainingSettings
