"""What classification and regression bring to the life cycle of a run."""

from pathlib import Path

from torch import nn

from saccade.tasks.classification.begin import deal, describe_case, open_dataset, plan
from saccade.tasks.classification.calibrate import read_temperature
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.train import finish, fit

__all__ = [
    "Config", "deal", "describe_case", "finish", "fit", "make_predictor", "open_dataset", "plan", "plan_line",
    "sizes",
]  # fmt: skip

Config = ClassificationConfig


def make_predictor(
    network: nn.Module, config: ClassificationConfig, run: Path, *, device: str
) -> ClassificationPredictor:
    """What applies the network, with the run's temperature."""
    return ClassificationPredictor(network, config, temperature=read_temperature(run), device=device)


def plan_line(config: ClassificationConfig) -> str:
    """Size, values and targets."""
    data = config.data
    targets = f"{len(data.classes)} {'labels' if data.kind == 'multi_label' else data.kind}"
    if data.kind == "ordinal":
        targets = f"{len(data.classes)} levels"
    if data.kind == "regression":
        targets = f"regression of {', '.join(data.columns)}"
    size = " x ".join(map(str, data.size))
    return f"{targets}; images {size}, {data.channels} channel(s), {data.fit}, {data.intensity.kind}"


def sizes(config: ClassificationConfig) -> tuple[int, int]:
    """Channels of the images, and the scores of the targets."""
    return config.data.channels, config.data.outputs
