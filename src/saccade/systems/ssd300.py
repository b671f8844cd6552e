"""SSD with six maps behind VGG-16: Liu et al. 2016, arXiv:1512.02325."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.boxes import decode
from saccade.losses.detection import Objects, multibox_loss
from saccade.networks.ssd300 import SSD300
from saccade.systems.detecting import chances, in_parts, select, sides_of
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located
from saccade.tasks.settings import Settings, merge

LOSSES = ("softmax",)
# Section 2.2: the threshold of one half; section 3.1: SGD with momentum 0.9, weight decay 5e-4, batches of 32 and rate
# 1e-3, here falling as a polynomial over as many steps as the paper's 60,000 are on VOC 2007 + 2012's 16,551 images;
# section 2.2: crops and mirroring; section 3.6: sure by 0.01, duplicates from 0.45, 200 of an image.
PAPER: dict[str, Any] = {
    "data": {"size": [300, 300], "channels": 3},
    "network": {"width": 1.0, "norm": None},
    "augmentation": {
        "probability": 0.67, "rotation_degrees": 0.0, "scale": [0.25, 1.0], "crop": 0.3, "flip_axes": [1],
        "brightness": 0.5, "contrast": [0.5, 1.5],
    },
    "training": {
        "optimiser": "sgd", "learning_rate": 1e-3, "weight_decay": 5e-4, "schedule": "polynomial", "batch_size": 32,
        "epochs": 116,
    },
    "inference": {"score": 0.01, "overlap": 0.45, "candidates": 400, "limit": 200},
}  # fmt: skip
# With batch norm it learns without ImageNet's weights.
DEFAULT: dict[str, Any] = {
    "plan": {"square": True, "pixels": 300 * 300},
    "network": {"width": 0.25, "norm": "batch"},
    "augmentation": {
        "rotation_degrees": 5.0, "scale": [0.8, 1.25], "shift_fraction": 0.05, "flip_axes": [1],
        "brightness": 0.1, "contrast": [0.9, 1.1],
    },
    "training": {"epochs": 60, "batch_size": 16, "learning_rate": 2e-3},
    "inference": {"score": 0.01, "overlap": 0.45, "candidates": 400},
}  # fmt: skip
# For minutes on a CPU.
TINY = merge(
    DEFAULT,
    {
        "plan": {"pixels": 96 * 96},
        "network": {"width": 0.125},
        "training": {"epochs": 20, "learning_rate": 4e-3, "batch_size": 8},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.SSD300`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(21, ge=2, description="background and classes")
    size: int = Field(300, ge=32, description="pixels of the images' side")
    width: float = Field(1.0, gt=0, description="factor on the channels of all layers")
    norm: Literal["batch", "instance"] | None = Field(None, description="behind the convolutions; null: the paper's")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The images' side.

    Raises:
        InputError: If they are no squares.
    """
    size = tuple(data["size"])
    if len(size) != 2 or size[0] != size[1]:
        raise InputError(f"ssd300: data.size must be a square, got {' x '.join(map(str, size))}.")
    return {"size": size[0], **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return SSD300(**settings.model_dump())


def layer_groups(network: nn.Module) -> list[list[str]]:
    """VGG, the maps behind it, the heads."""
    return [["features.*"], ["scale.*", "converted.*", "extras.*"], ["heads.*"]]


def training_loss(
    network: nn.Module, images: Tensor, objects: Sequence[Objects], config: DetectionConfig
) -> dict[str, Tensor]:
    """Smooth L1 of the offsets and cross-entropy with the hardest background, by the anchors that stand for objects."""
    known = [in_parts(of_image, images.shape[2:]) for of_image in objects]
    scores, offsets = (part.float() for part in network(images))
    loss = multibox_loss(scores, offsets, known, _anchors(network, images), threshold=config.training.overlap)
    return {"location": loss.location, "classes": loss.classes}


def detect(network: nn.Module, images: Tensor, config: DetectionConfig) -> list[Located]:
    """Boxes that the offsets lead to, duplicates removed."""
    scores, offsets = (part.float() for part in network(images))
    boxes = decode(offsets, _anchors(network, images).expand(len(images), -1, -1)) * sides_of(images.shape[2:], images)
    return select(boxes, chances(scores, config), config)


def _anchors(network: Any, like: Tensor) -> Tensor:
    boxes: Tensor = network.anchors().to(like.device)
    return boxes
