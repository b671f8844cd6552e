"""RetinaNet: Lin et al. 2017, arXiv:1708.02002, in 2D and 3D, its head with or without CBAM."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import log2
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from saccade.attention.cbam import CBAM
from saccade.layers.boxes import decode
from saccade.losses.detection import Objects, focal_detection_loss
from saccade.networks.retinanet import SCALES, RetinaNet
from saccade.systems.detecting import chances, class_loss_of, select
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located
from saccade.tasks.settings import Settings, merge

LOSSES = ("focal", "binary_cross_entropy")
BETWEEN = 0.1  # overlaps from here below training.overlap up to it count nowhere: the paper's 0.4 to 0.5
VARIANCE = (1.0, 1.0)
REDUCTION = 8
FARTHEST = 10.0  # an untrained network must not give boxes of endless size
DEFAULT: dict[str, Any] = {
    "plan": {"pixels": 256 * 256},
    "network": {"channels": [32, 64, 128, 256], "blocks": [2, 2, 2, 2], "width": 64, "depth": 2, "extra": 1},
    "augmentation": {
        "rotation_degrees": 5.0, "scale": [0.8, 1.25], "shift_fraction": 0.05, "flip_axes": [1],
        "brightness": 0.1, "contrast": [0.9, 1.1],
    },
    "training": {"epochs": 60, "batch_size": 8, "learning_rate": 1e-3},
}  # fmt: skip
# Section 4.1: SGD with momentum 0.9, rate 0.01, weight decay 1e-4, 16 images a step, 90,000 steps: 12 epochs of COCO.
# The paper divides the rate by 10 at steps 60,000 and 80,000; here it falls as a polynomial. Its images are 800 wide.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 800 * 800},
    "network": {
        "channels": [64, 128, 256, 512], "blocks": [3, 4, 6, 3], "stem": "imagenet", "finest": 1, "extra": 2,
        "width": 256, "depth": 4, "base": 4.0,
    },
    "augmentation": {"probability": 0.0, "flip_axes": [1]},
    "training": {
        "optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4, "schedule": "polynomial", "batch_size": 16,
        "epochs": 12,
    },
}  # fmt: skip
# For minutes on a CPU.
TINY = merge(
    DEFAULT,
    {
        "plan": {"pixels": 96 * 96},
        "network": {"channels": [16, 32, 64], "blocks": [1, 1, 1], "width": 32, "depth": 1},
        "training": {"epochs": 20, "learning_rate": 4e-3},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.RetinaNet`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(80, ge=1)
    spatial_dims: Literal[2, 3] = 2
    channels: tuple[int, ...] = Field((64, 128, 256, 512), description="width of each stage of the ResNet")
    blocks: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage; 3, 4, 6, 3 is ResNet-34")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, for small objects")
    finest: int = Field(1, ge=0, description="finest stage, from 0, with a map in the pyramid")
    extra: int = Field(2, ge=0, description="maps behind the coarsest stage")
    width: int = Field(256, ge=1, description="channels of the pyramid and of both heads")
    depth: int = Field(4, ge=0, description="convolutions of both heads before the last one")
    base: float = Field(4.0, gt=0, description="side of the smallest anchor of each map, in steps of the map")
    scales: tuple[float, ...] = Field(SCALES, min_length=1, description="factors on the anchors' sides")
    attention: Literal["none", "cbam"] = Field("none", description="behind the convolutions of both heads")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and the finest map: the one on whose grid the smallest objects are about two to four steps wide."""
    size, smallest = tuple(data["size"]), data["object_sides"][0]
    wanted = max(1.0, smallest / 3)  # pixels of a step
    planned = {"spatial_dims": len(size), "stem": "imagenet" if wanted >= 3 else "small", **network}
    first = 4 if planned["stem"] == "imagenet" else 1
    stages = len(planned.get("channels", Network.model_fields["channels"].default))
    planned = {"finest": min(max(0, round(log2(wanted / first))), stages - 1), **planned}
    step = first * 2 ** planned["finest"]
    return {"base": round(min(4.0, max(1.0, smallest / step)), 2), **planned}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    values = settings.model_dump()
    if values.pop("attention") == "none":
        return RetinaNet(**values)
    gate = partial(CBAM, reduction=min(REDUCTION, settings.width), spatial_dims=settings.spatial_dims)
    return RetinaNet(**values, attention=gate)


def layer_groups(network: nn.Module) -> list[list[str]]:
    """The stem and the first half of the ResNet's stages, the others, and all behind."""
    stages = [f"backbone.{name}.*" for name, _ in network.backbone.named_children() if name.startswith("layer")]  # type: ignore[union-attr, operator]
    half = len(stages) // 2
    behind = dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters())
    return [
        ["backbone.conv1.*", "backbone.bn1.*", *stages[:half]],
        stages[half:],
        [f"{name}.*" for name in behind if name != "backbone"],
    ]


def training_loss(
    network: nn.Module, images: Tensor, objects: Sequence[Objects], config: DetectionConfig
) -> dict[str, Tensor]:
    """Focal loss of all anchors and smooth L1 of those that stand for objects, by the number of these."""
    scores, offsets = (part.float() for part in network(images))
    loss = focal_detection_loss(
        scores,
        offsets,
        objects,
        _anchors(network, images),
        class_loss=class_loss_of(config),
        threshold=config.training.overlap,
        background=max(0.0, config.training.overlap - BETWEEN),
        variance=VARIANCE,
    )
    return {"location": loss.location, "classes": loss.classes}


def detect(network: nn.Module, images: Tensor, config: DetectionConfig) -> list[Located]:
    """Boxes that the offsets lead to, duplicates removed."""
    scores, offsets = (part.float() for part in network(images))
    anchors = _anchors(network, images).expand(len(images), -1, -1)
    boxes = decode(offsets.clamp(-FARTHEST, FARTHEST), anchors, variance=VARIANCE)
    return select(boxes, chances(scores, config), config)


def _anchors(network: Any, images: Tensor) -> Tensor:
    boxes: Tensor = network.anchors(tuple(images.shape[2:])).to(images.device)
    return boxes
