"""Residual network, for classification and regression in 2D and 3D: He et al. 2016, arXiv:1512.03385.

A baseline, and the control of the ResNets with attention, whose settings and presets are these.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.networks import ResNet
from saccade.tasks.settings import Settings, merge

SMALL = 64  # pixels below which the ImageNet stem would leave next to nothing
DEFAULT: dict[str, Any] = {
    # at the end of a falling learning rate the latest averaged weights are as good as any, and nothing is chosen
    "training": {"weight_averaging": 0.99, "keep": "last"},
    "augmentation": {
        "rotation_degrees": 10.0, "scale": [0.9, 1.1], "shift_fraction": 0.05,
        "noise": 0.05, "brightness": 0.1, "contrast": [0.9, 1.1],
    },
}  # fmt: skip
# Section 3.4: SGD with momentum, batches of 256, rate 0.1, weight decay 1e-4, pictures of 224 x 224 with mirroring. The
# paper divides the rate by 10 when the error stops falling; here it falls as a polynomial over the paper's 120 epochs.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 224 * 224},
    "network": {"stem": "imagenet"},
    "augmentation": {"probability": 1.0, "rotation_degrees": 0.0, "scale": [0.7, 1.3], "flip_axes": [1]},
    "training": {
        "optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "schedule": "polynomial", "batch_size": 256,
        "epochs": 120, "loss": "auto",
    },
}  # fmt: skip
# For minutes on a CPU: pictures of at most 64 x 64 through an eighth of the width.
TINY: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 64 * 64},
        "network": {"channels": [16, 32, 64], "blocks": [1, 1, 1], "stem": "small"},
        "training": {"learning_rate": 4e-3, "epochs": 20, "validate_every": 5, "weight_averaging": 0.98},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class ResNetSettings(Settings):
    """Settings of the network; see `saccade.networks.ResNet`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(1000, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field((64, 128, 256, 512), description="width of each stage")
    blocks: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage; 2, 2, 2, 2 is ResNet-18")
    bottleneck: bool = Field(False, description="blocks of three convolutions, as from ResNet-50 on")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, below 64 pixels")


Network = ResNetSettings


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions and stem that fit the images."""
    size = tuple(data["size"])
    return {"spatial_dims": len(size), "stem": "small" if min(size) < SMALL else "imagenet", **network}


def network(settings: ResNetSettings) -> nn.Module:
    """The network of these settings."""
    return ResNet(**settings.model_dump())


def layer_groups(network: nn.Module) -> list[list[str]]:
    """The stem and the first half of the stages, the others, and the last layer; fastai's parting of a ResNet-34."""
    stages = [f"{name}.*" for name, _ in network.named_children() if name.startswith("layer")]
    half = len(stages) // 2
    return [["conv1.*", "bn1.*", *stages[:half]], stages[half:], ["fc.*"]]
