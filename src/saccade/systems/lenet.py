"""LeNet-5 for small pictures: LeCun et al. 1998, doi:10.1109/5.726791."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.networks import LeNet
from saccade.systems import resnet
from saccade.tasks.settings import Settings, merge

SMALL_PICTURES = {"plan": {"pixels": 32 * 32}}
DEFAULT: dict[str, Any] = merge(resnet.DEFAULT, SMALL_PICTURES)
# The paper's pictures of 32 x 32 and its 20 passes over the data; its rates came from second derivatives, these do not.
PAPER: dict[str, Any] = merge(
    SMALL_PICTURES,
    {
        "augmentation": {"probability": 0.0},
        "training": {"optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 0.0, "epochs": 20},
    },
)
TINY: dict[str, Any] = merge(DEFAULT, {"training": resnet.TINY["training"]})
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.LeNet`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(10, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field((6, 16, 120), description="of the three convolutions")
    hidden: int = Field(84, ge=1, description="units of the layer before the last")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions that fit the images."""
    return {"spatial_dims": len(data["size"]), **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return LeNet(**settings.model_dump())
