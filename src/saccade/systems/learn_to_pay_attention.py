"""VGG that pools places which agree with what it sees as a whole: Jetley et al. 2018, arXiv:1804.02391."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.attention.tap import record
from saccade.errors import InputError
from saccade.layers.resample import resize
from saccade.networks import LearnToPayAttention
from saccade.report.illustration import Illustration
from saccade.systems import resnet
from saccade.systems.pictures import axial, grey_of, picture_of, to_bytes
from saccade.tasks.settings import Settings, merge

# On CIFAR: pictures of 32 x 32, batches of 128, 300 epochs. The paper halves the rate every 25 epochs, here it falls as
# a polynomial over the 300; it begins with that of public implementations.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 32 * 32},
    "augmentation": {"probability": 0.0, "flip_axes": [1]},
    "training": {
        "optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4, "schedule": "polynomial", "batch_size": 128,
        "epochs": 300,
    },
}  # fmt: skip
TINY: dict[str, Any] = merge(resnet.TINY, {"network": {"channels": [16, 32, 64], "convolutions": [1, 1, 2]}})
del TINY["network"]["blocks"], TINY["network"]["stem"]
PRESETS = {"default": resnet.DEFAULT, "paper": PAPER, "tiny": TINY}

LARGE = {2: 64, 3: 16}  # pixels and voxels from which on the grid is halved from the second block on, as in VGG


class Network(Settings):
    """Settings of the network; see `saccade.networks.LearnToPayAttention`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(10, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    channels: tuple[int, ...] = Field(
        (64, 128, 256, 512, 512), description="width of each block; the last three attend"
    )
    convolutions: tuple[int, ...] = Field((2, 2, 3, 3, 3), description="of each block")
    early_pooling: bool = Field(
        False, description="halve the grid from the second block on; else only behind the first with attention"
    )
    compatibility: Literal["additive", "dot"] = Field("additive", description="how a place's agreement is scored")
    combine: Literal["concat", "mean"] = Field(
        "concat",
        description="one layer over all three pooled features, or the mean of three classifiers' probabilities",
    )


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and early pooling for images that are not small.

    Raises:
        InputError: If the mean of class probabilities is asked for where the targets are no classes.
    """
    size = tuple(data["size"])
    if network.get("combine") == "mean" and data.get("kind", "classes") != "classes":
        raise InputError(
            "learn-to-pay-attention: network.combine=mean averages probabilities of classes, but data.kind is "
            f"{data['kind']}. Take combine=concat."
        )
    return {"spatial_dims": len(size), "early_pooling": min(size) >= LARGE[len(size)], **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return LearnToPayAttention(**settings.model_dump())


def illustrate(network: LearnToPayAttention, x: Float[Tensor, "1 c *space"]) -> list[Illustration]:
    """The image under the weights of each of the three estimators; of a volume the slice that has most of them."""
    from saccade.explain.render import overlay

    with torch.no_grad(), record(network) as maps:
        network(x)
    shown = []
    for number, found in enumerate(maps.values(), 1):
        weights = resize(found.tensor.float(), x.shape[2:])[0, 0].cpu().numpy()
        at = int(weights.sum((0, 1)).argmax()) if weights.ndim == 3 else None
        grid = " x ".join(map(str, found.grid or ()))
        limits = (0.0, float(max(weights.max(), np.finfo(np.float32).tiny)))
        picture = overlay(grey_of(x[0], at=at), axial(weights, at), limits=limits)
        shown.append(Illustration(f"Attention {number} of {len(maps)}, {grid}", to_bytes(picture)))
    return [Illustration("Image", picture_of(x[0])), *shown]
