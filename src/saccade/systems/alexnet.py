"""AlexNet: Krizhevsky et al. 2012, doi:10.1145/3065386, in the form of Krizhevsky 2014, arXiv:1404.5997."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.networks import AlexNet
from saccade.systems import resnet
from saccade.tasks.settings import Settings, merge

SMALL = 63  # pixels below which the ImageNet stem leaves nothing
# Section 5 of the paper of 2012, where the rate was divided by 10 by hand.
PAPER: dict[str, Any] = merge(
    resnet.PAPER, {"training": {"learning_rate": 0.01, "weight_decay": 5e-4, "batch_size": 128, "epochs": 90}}
)
TINY: dict[str, Any] = {
    **resnet.TINY,
    "network": {"channels": [16, 32, 48, 32, 32], "hidden": 64, "stem": "small"},
}
PRESETS = {"default": resnet.DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.AlexNet`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(1000, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field((64, 192, 384, 256, 256), description="of the five convolutions")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, below 63 pixels")
    hidden: int | None = Field(4096, ge=1, description="units of both hidden layers; null: none, for volumes")
    dropout: float = Field(0.5, ge=0, lt=1)


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions and stem that fit the images; volumes get no hidden layers, whose weights would fill the memory."""
    size = tuple(data["size"])
    planned = {"spatial_dims": len(size), "stem": "small" if min(size) < SMALL else "imagenet", **network}
    return planned if len(size) == 2 else {"hidden": None, **planned}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return AlexNet(**settings.model_dump())
