"""DenseNet: Huang et al. 2017, arXiv:1608.06993."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.networks import DenseNet
from saccade.systems import resnet
from saccade.tasks.settings import Settings, merge

# Section 4.2: as ResNet, but 90 epochs (where the rate was divided by 10 at 30 and 60).
PAPER: dict[str, Any] = merge(resnet.PAPER, {"training": {"epochs": 90}})
TINY: dict[str, Any] = {**resnet.TINY, "network": {"growth": 8, "blocks": [2, 4, 4], "width": 16}}
PRESETS = {"default": resnet.DEFAULT, "paper": PAPER, "tiny": TINY}
SMALL = 64  # pixels below which the ImageNet stem would leave next to nothing


class Network(Settings):
    """Settings of the network; see `saccade.networks.DenseNet`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(1000, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    growth: int = Field(32, ge=1, description="channels that each layer adds, the paper's k")
    blocks: tuple[int, ...] = Field((6, 12, 24, 16), description="layers of each block; 6, 12, 24, 16 is DenseNet-121")
    width: int = Field(64, ge=1, description="channels of the first convolution")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, below 64 pixels")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions and stem that fit the images, and as many blocks as they can be halved."""
    size = tuple(data["size"])
    planned: dict[str, Any] = {"spatial_dims": len(size), "stem": "small" if min(size) < SMALL else "imagenet"}
    if "blocks" not in network:
        planned["blocks"] = (6, 12, 24, 16)[: max(1, min(4, min(size).bit_length() - 1))]
    return {**planned, **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return DenseNet(**settings.model_dump())
