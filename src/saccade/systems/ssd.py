"""The detector of fastai's Deep Learning Part 2 (2018), lesson 9, a teaching form of SSD, and the steps before it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.layers.boxes import content, decode_within_cell
from saccade.losses.detection import Objects, lecture_loss
from saccade.networks.ssd import SSD
from saccade.networks.whole_image import WholeImage
from saccade.systems.detecting import behind_background, chances, class_loss_of, in_parts, select, sides_of
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located
from saccade.tasks.settings import Settings, merge

LOSSES = ("focal", "binary_cross_entropy", "softmax")
SMALL = 128  # pixels below which the ImageNet stem would leave less than 4 x 4 positions
CLASS_WEIGHT, PIXELS = 20.0, 224  # of the largest object: L1 in the lecture's 224 pixels beside 20 cross-entropies
ZOOMS = (0.7, 1.0, 1.3)
IMAGENET = {
    "kind": "standardise", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],
}  # of values 0 to 255  # fmt: skip

DEFAULT: dict[str, Any] = {
    "plan": {"pixels": 256 * 256},
    "network": {"channels": [32, 64, 128, 256], "blocks": [2, 2, 2, 2], "width": 128, "dropout": 0.1, "zooms": ZOOMS},
    "augmentation": {
        "rotation_degrees": 5.0, "scale": [0.8, 1.25], "shift_fraction": 0.05, "flip_axes": [1],
        "brightness": 0.1, "contrast": [0.9, 1.1],
    },
    "training": {"gamma": 1.0, "overlap": 0.4, "epochs": 60, "batch_size": 16, "learning_rate": 2e-3},
}  # fmt: skip
# The values of the lecture's text: three grids, three anchors each; a ResNet-34 that is best begun from ImageNet's.
LECTURE: dict[str, Any] = {
    "data": {"size": [224, 224], "channels": 3, "intensity": IMAGENET},
    "network": {
        "channels": [64, 128, 256, 512], "blocks": [3, 4, 6, 3], "stem": "imagenet", "width": 256, "maps": 3,
        "zooms": [1.0],
    },
    "augmentation": {
        "probability": 0.5, "rotation_degrees": 3.0, "scale": [1.0, 1.0], "flip_axes": [1],
        "lecture_lighting": [0.05, 0.05],
    },
    "training": {
        "loss": "binary_cross_entropy", "gamma": 1.0, "overlap": 0.4, "optimiser": "adam", "weight_decay": 0.0,
        "batch_size": 64, "learning_rate": 1e-2, "group_rates": [0.01, 0.1, 1.0], "epochs": 4,
        "schedule": "one_cycle", "one_cycle": {"divisor": 20, "cut": 8}, "precision": "32-true",
    },
    "inference": {"score": 0.25, "overlap": 0.4, "candidates": 50},
}  # fmt: skip
NOTEBOOK = merge(LECTURE, {"network": {"zooms": list(ZOOMS)}})
SINGLE = merge(
    LECTURE,
    {
        "network": {"maps": 1, "ratios": [[1.0, 1.0]]},
        "training": {"learning_rate": 3e-3, "epochs": 5, "one_cycle": {"divisor": 20, "cut": 10}},
    },
)
# For minutes on a CPU: images of at most 96 x 96 through a quarter of the width.
TINY = merge(
    DEFAULT,
    {
        "plan": {"pixels": 96 * 96},
        "network": {"channels": [16, 32, 64, 64], "blocks": [1, 1, 1, 1], "width": 64},
        "training": {"epochs": 20, "learning_rate": 4e-3, "batch_size": 8},
    },
)
LARGEST = merge(DEFAULT, {"network": {"head": "largest"}, "training": {"loss": "softmax"}})
LABELS = merge(DEFAULT, {"network": {"head": "labels"}, "training": {"loss": "binary_cross_entropy"}})
PRESETS = {
    "default": DEFAULT,
    "tiny": TINY,
    "lecture": LECTURE,
    "notebook": NOTEBOOK,
    "single-head": SINGLE,
    "multi-label": LABELS,
    "largest-object": LARGEST,
}


class Network(Settings):
    """Settings of the network; see `saccade.networks.SSD`, and `saccade.networks.WholeImage` for the other heads."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(20, ge=1)
    head: Literal["anchors", "largest", "labels"] = Field(
        "anchors",
        description="what is found: every object by anchors; the largest object of the image and its class, by one box "
        "for the whole image; or which classes are in the image, their boxes being the image's",
    )
    size: tuple[int, ...] = Field((224, 224), description="of the images")
    channels: tuple[int, int, int, int] = Field((64, 128, 256, 512), description="width of each stage of the ResNet")
    blocks: tuple[int, int, int, int] = Field((3, 4, 6, 3), description="blocks of each stage; 3, 4, 6, 3 is ResNet-34")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, for small images")
    width: int = Field(256, ge=1, description="channels of the maps with anchors; units of the other heads")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="null: the lecture's; 0.25 and 0.1 with one map, 0.4 with more, 0.5 without anchors",
    )
    maps: int = Field(3, ge=1, description="of anchors: how many maps have some; 1 is the lecture's single head")
    zooms: tuple[float, ...] = Field((1.0,), min_length=1, description="of anchors: factors on all lengths")
    ratios: tuple[tuple[float, ...], ...] | None = Field(
        None, description="of anchors: factors on the lengths; null: all equal, and each axis halved in turn"
    )
    bias: float | None = Field(None, description="of anchors' scores at the start; null: -3 with one map, -4 with more")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The images' size, a stem that leaves enough positions, and as many maps as there is something to halve."""
    size = tuple(data["size"])
    planned = {"size": size, "stem": "small" if min(size) < SMALL else "imagenet", **network}
    positions = -(-min(size) // (8 if planned["stem"] == "small" else 32))
    return {"maps": max(1, min(3, (positions - 1).bit_length())), **planned}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    values = settings.model_dump()
    head, size, dropout = values.pop("head"), values.pop("size"), values["dropout"]
    if head == "anchors":
        return SSD(**values, spatial_dims=len(size))
    shared = {name: values[name] for name in ("in_channels", "out_channels", "channels", "blocks", "stem", "width")}
    return WholeImage(**shared, size=size, box=head == "largest", **({} if dropout is None else {"dropout": dropout}))


def layer_groups(network: nn.Module) -> list[list[str]]:
    """The stem and the first two stages, the two others, and all behind: fastai's for a ResNet-34."""
    behind = dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters())
    first, second = ("conv1", "bn1", "layer1", "layer2"), ("layer3", "layer4")
    groups = [[f"backbone.{name}.*" for name in names] for names in (first, second)]
    return [*groups, [f"{name}.*" for name in behind if name != "backbone"]]


def simplify(objects: Objects, size: Sequence[int], config: DetectionConfig) -> Objects:
    """All objects; the largest one; or a box as large as the image for each class that is there."""
    head = config.network["head"]
    if head == "anchors":
        return objects
    if head == "largest":
        chosen = content(objects.boxes).argsort(descending=True, stable=True)[:1]
        return Objects(objects.boxes[chosen], objects.classes[chosen])
    classes = objects.classes.unique()
    return Objects(_whole(size, objects.boxes).expand(len(classes), -1), classes)


def training_loss(
    network: nn.Module, images: Tensor, objects: Sequence[Objects], config: DetectionConfig
) -> dict[str, Tensor]:
    """The lecture's loss, the mean over images of what it sums."""
    size = images.shape[2:]
    known = [in_parts(of_image, size) for of_image in objects]
    scores, activations = (part.float() for part in network(images))
    if config.network["head"] == "labels":
        return {"classes": _loss_of_labels(scores, known, config)}
    if config.network["head"] == "largest":
        return _loss_of_largest(scores, activations, known, config)
    if config.training.loss == "softmax":
        known = [behind_background(of_image) for of_image in known]
    anchors, cells = _anchors(network, size, images)
    loss = lecture_loss(
        scores,
        activations,
        known,
        anchors,
        cells,
        threshold=config.training.overlap,
        class_loss=class_loss_of(config),
    )
    return {"location": loss.location / len(images), "classes": loss.classes / len(images)}


def detect(network: nn.Module, images: Tensor, config: DetectionConfig) -> list[Located]:
    """Boxes of the anchors, duplicates removed; or what the other heads say of the image."""
    size = images.shape[2:]
    scores, activations = (part.float() for part in network(images))
    chance = chances(scores, config)
    if config.network["head"] == "anchors":
        anchors, cells = (part.expand(len(images), -1, -1) for part in _anchors(network, size, images))
        boxes = decode_within_cell(activations, anchors, cells) * sides_of(size, images)
        return select(boxes, chance, config)
    if config.network["head"] == "labels":
        every = _whole(size, images).expand(len(images), chance.shape[1], -1)  # of each class a box of its own
        return select(every, torch.diag_embed(chance), config)
    first, last = (activations * sides_of(size, images)).chunk(2, -1)  # which corner is which, the network is not told
    ordered = torch.cat([torch.minimum(first, last), torch.maximum(first, last)], -1)
    best = chance.where(chance == chance.amax(1, keepdim=True), 0)
    return select(ordered[:, None], best[:, None], config)


def _whole(size: Sequence[int], like: Tensor) -> Tensor:
    """A box as large as the image."""
    sides = sides_of(size, like)
    sides[: len(size)] = 0
    return sides


def _anchors(network: Any, size: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    boxes, cells = network.anchors(tuple(size))
    return boxes.to(like.device), cells.to(like.device)


def _loss_of_labels(scores: Tensor, known: Sequence[Objects], config: DetectionConfig) -> Tensor:
    if config.training.loss == "softmax":
        raise InputError("ssd: training.loss=softmax knows one class in an image; with head=labels take another.")
    targets = torch.zeros_like(scores)
    for row, of_image in zip(targets, known, strict=True):
        row[of_image.classes] = 1
    return class_loss_of(config)(scores, targets).mean()


def _loss_of_largest(
    scores: Tensor, corners: Tensor, known: Sequence[Objects], config: DetectionConfig
) -> dict[str, Tensor]:
    """An image without objects is background, and its box counts nowhere."""
    if config.training.loss != "softmax":
        raise InputError("ssd: with head=largest training.loss must be softmax, one class in an image.")
    there = [len(of_image.boxes) > 0 for of_image in known]
    classes = torch.tensor(
        [int(of_image.classes[0]) + 1 if some else 0 for of_image, some in zip(known, there, strict=True)]
    )
    found = corners[torch.tensor(there, device=corners.device)]
    wanted = torch.cat([of_image.boxes for of_image in known])
    location = F.l1_loss(found, wanted) if len(wanted) else corners.sum() * 0
    return {
        "location": PIXELS * location,
        "classes": CLASS_WEIGHT * F.cross_entropy(scores, classes.to(scores.device)),
    }
