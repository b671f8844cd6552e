"""The two networks of Respond-CAM, for particles in subtomograms: Zhao et al. 2018, arXiv:1806.00102."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import nn

from saccade.networks import TomogramCNN
from saccade.systems import resnet
from saccade.tasks.settings import Settings, merge

# Mirror images along the axes keep the missing wedge where it is; turned ones would not.
MIRRORED: dict[str, Any] = {
    "plan": {"pixels": 40**3},
    "augmentation": {"probability": 0.0, "flip_axes": [0, 1, 2]},
}
DEFAULT: dict[str, Any] = merge({"training": resnet.DEFAULT["training"]}, MIRRORED)
# The paper gives the networks and the loss, not how long they learnt; nothing is augmented.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 40**3},
    "augmentation": {"probability": 0.0},
    "training": {"optimiser": "adam", "weight_decay": 0.0},
}
# For minutes on a CPU: a quarter of the width.
TINY: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 24**3},
        "network": {"channels": [8, 8, 16, 16], "hidden": [64, 64]},
        "training": resnet.TINY["training"],
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.TomogramCNN`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(23, ge=1)
    size: tuple[int, ...] = Field((40, 40, 40), description="voxels that the network sees along each axis")
    channels: tuple[int, ...] = Field((32, 32, 64, 64), description="of the four convolutions")
    hidden: tuple[int, ...] = Field((512, 512), description="units of the linear layers before the last")
    prepool: bool = Field(False, description="halve the volume first: the paper's CNN-2")
    bias: bool = Field(True, description="whether linear layers have biases")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The size of the images."""
    return {**network, "size": tuple(data["size"])}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return TomogramCNN(**settings.model_dump())
