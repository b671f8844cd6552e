"""Landmarks by a U-Net's heat maps and a CRF that corrects them: Mader et al. 2018, doi:10.1007/978-3-030-00934-2_63.

The heat maps' local maxima are hypotheses, a CRF chooses among them jointly, and what it labels "refine" is looked for
among all pixels. The paper's exact potentials and settings could not be had; these are the group's in standard form.
Without the CRF (``inference.crf=none``) it is a U-Net whose hottest pixels are taken.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.networks import UNet
from saccade.tasks.segmentation.plan import plan_pooling
from saccade.tasks.settings import Settings, merge

RARE = 0.01  # heat of an untrained network: nearly every pixel of a true map is 0

DEFAULT: dict[str, Any] = {
    "plan": {"pixels": 256 * 256},
    "augmentation": {
        "rotation_degrees": 8.0, "scale": [0.9, 1.1], "shift_fraction": 0.05,
        "noise": 0.05, "brightness": 0.2, "contrast": [0.8, 1.25],
    },
    "training": {"optimiser": "adam", "weight_decay": 0.0, "weight_averaging": 0.99, "keep": "last", "epochs": 200},
}  # fmt: skip
# What the paper tells: heat maps of a U-Net, small affine and intensity changes, a pool of potentials that learning
# prunes. Numbers that it does not tell are the default's.
PAPER: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 512 * 512},
        "training": {"learning_rate": 1e-3, "potentials": ["translation", "distance", "angle"]},
    },
)
# For minutes on a CPU: pictures of at most 128 x 128 through half the width.
TINY: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 128 * 128},
        "network": {"channels": [8, 16, 32, 64, 64]},
        "training": {"epochs": 40, "validate_every": 10, "weight_averaging": 0.98, "learning_rate": 4e-3},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.UNet`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(18, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field((16, 32, 64, 128, 128), description="width of each level, finest first")
    pooling: int | tuple[int | tuple[int, ...], ...] = Field(2, description="factor between levels, or one each")
    norm: Literal["batch", "instance"] = "batch"


class HeatMapUNet(UNet):
    """A U-Net with a map for each landmark, which a `Tap` gets as shares: of each landmark how much is on which pixel.

    Args:
        settings: Of the system.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__(**settings.model_dump(), deep_supervision=False)
        nn.init.constant_(self.head.classify.bias, math.log(RARE / (1 - RARE)))  # type: ignore[union-attr,arg-type]
        self.map = Tap("spatial")

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b n *space"]:
        scores: Tensor = super().forward(x)
        self.map(scores.flatten(2).softmax(2).view_as(scores))
        return scores


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and as many levels as the image's size allows."""
    size = tuple(data["size"])
    widths = list(network.get("channels", Network().channels))
    steps = plan_pooling(size, (1.0,) * len(size), len(widths) - 1)
    if "channels" not in network:
        widths = widths[: len(steps) + 1]
    steps += [[1] * len(size)] * (len(widths) - 1 - len(steps))
    return {"spatial_dims": len(size), "channels": widths, "pooling": steps, **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return HeatMapUNet(settings)
