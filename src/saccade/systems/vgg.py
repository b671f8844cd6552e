"""VGG: Simonyan and Zisserman 2015, arXiv:1409.1556."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.networks import VGG
from saccade.systems import resnet
from saccade.tasks.settings import Settings, merge

# Section 3.1, where the rate was divided by 10 when the error stopped falling; without batch norm, which came later.
PAPER: dict[str, Any] = {
    **merge(resnet.PAPER, {"training": {"learning_rate": 0.01, "weight_decay": 5e-4, "epochs": 74}}),
    "network": {"norm": None},
}
TINY: dict[str, Any] = {
    **resnet.TINY,
    "network": {"channels": [16, 32, 64], "convolutions": [1, 1, 2], "hidden": 64},
}
PRESETS = {"default": resnet.DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.VGG`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(1000, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field((64, 128, 256, 512, 512), description="width of each block")
    convolutions: tuple[int, ...] = Field((2, 2, 3, 3, 3), description="of each block; 2, 2, 3, 3, 3 is VGG-16")
    norm: Literal["batch", "instance"] | None = Field("batch", description="behind every convolution")
    hidden: int | None = Field(4096, ge=1, description="units of both hidden layers; null: none, for volumes")
    dropout: float = Field(0.5, ge=0, lt=1)


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and as many blocks as the images can be halved; volumes get no hidden layers."""
    size = tuple(data["size"])
    planned: dict[str, Any] = {"spatial_dims": len(size), **network}
    if not {"channels", "convolutions"} & set(network):
        blocks = min(5, min(size).bit_length() - 1)
        planned |= {"channels": (64, 128, 256, 512, 512)[:blocks], "convolutions": (2, 2, 3, 3, 3)[:blocks]}
    return planned if len(size) == 2 else {"hidden": None, **planned}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return VGG(**settings.model_dump())
