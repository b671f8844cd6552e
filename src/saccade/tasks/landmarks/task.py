"""What landmarks bring to the life cycle of a run.

A system's network takes images (b, c, *space) and gives scores (b, landmarks, *space); the higher, the hotter.
"""

from pathlib import Path

from torch import nn

from saccade.tasks.landmarks.begin import deal, describe_case, open_dataset, plan
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.predictor import LandmarksPredictor
from saccade.tasks.landmarks.structure import read_crf
from saccade.tasks.landmarks.train import finish, fit

__all__ = [
    "Config", "deal", "describe_case", "finish", "fit", "make_predictor", "open_dataset", "plan", "plan_line",
    "sizes",
]  # fmt: skip

Config = LandmarksConfig


def make_predictor(network: nn.Module, config: LandmarksConfig, run: Path, *, device: str) -> LandmarksPredictor:
    """What applies the network, with the run's CRF."""
    return LandmarksPredictor(network, config, crf=read_crf(run, config.data.names), device=device)


def plan_line(config: LandmarksConfig) -> str:
    """Landmarks, size, values and heat maps."""
    data = config.data
    size = " x ".join(map(str, data.size))
    images = f"images {size}, {data.channels} channel(s), {data.fit}, {data.intensity.kind}"
    return f"{len(data.names)} landmarks; {images}; heat maps of sigma {config.sigma:g} pixels"


def sizes(config: LandmarksConfig) -> tuple[int, int]:
    """Channels of the images, and landmarks."""
    return config.data.channels, len(config.data.names)
