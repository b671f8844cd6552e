"""What segmentation brings to the life cycle of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from saccade.data.layouts import Dataset
from saccade.tasks.segmentation import begin
from saccade.tasks.segmentation.begin import deal, describe_case, plan
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.train import finish, fit

__all__ = [
    "Config", "deal", "describe_case", "finish", "fit", "make_predictor", "open_dataset", "plan", "plan_line",
    "sizes",
]  # fmt: skip

Config = SegmentationConfig


def open_dataset(data: Path | str, settings: Mapping[str, Any]) -> Dataset:
    """The data set of a folder; the user may name its classes."""
    return begin.open_dataset(data, settings.get("label_names"))


def make_predictor(network: nn.Module, config: SegmentationConfig, run: Path, *, device: str) -> SegmentationPredictor:
    """What applies the network; it needs nothing else of the run."""
    return SegmentationPredictor(network, config, device=device)


def plan_line(config: SegmentationConfig) -> str:
    """Voxels, patch and intensity."""
    return f"spacing {config.data.spacing_mm} mm, patch {config.data.patch_size}, {config.data.intensity.kind}"


def sizes(config: SegmentationConfig) -> tuple[int, int]:
    """Channels of the scans, and classes with background."""
    return config.data.channels, len(config.classes)
