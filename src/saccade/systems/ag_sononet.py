"""AG-SonoNet: SonoNet that pools mid-level features where its attention lies. Schlemper et al. 2019, arXiv:1808.08114.

Presets and settings are those of `sononet`, its control.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.networks import AGSonoNet
from saccade.report.illustration import Illustration
from saccade.systems import resnet, sononet
from saccade.systems.sononet import SonoNetSettings, over_image, told

PRESETS = {
    "default": resnet.DEFAULT,
    "paper": {**sononet.PUBLISHED, "network": {"width": 32}},  # the widest of the paper's
    "tiny": sononet.TINY,
}


class Network(SonoNetSettings):
    """Settings of the network; see `saccade.networks.AGSonoNet`."""

    variant: Literal["mean_flow", "softmax", "mean", "range", "sigmoid"] = Field(
        "mean_flow", description="how scores of places become attention; mean_flow is the paper's"
    )
    aggregation: Literal["concat", "mean", "deep_supervision", "fine_tuned"] = Field(
        "deep_supervision",
        description="how the three pooled features become scores; fine_tuned starts from a run with mean: --init-from",
    )


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """As for `sononet`.

    Raises:
        InputError: If the mean of class probabilities is asked for where the targets are no classes.
    """
    if network.get("aggregation") == "mean" and data.get("kind", "classes") != "classes":
        raise InputError(
            "ag-sononet: network.aggregation=mean averages probabilities of classes, but data.kind is "
            f"{data['kind']}. Take deep_supervision, concat or fine_tuned."
        )
    return sononet.plan_network(data, network)


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return AGSonoNet(**settings.arguments())


def training_loss(
    network: AGSonoNet,
    images: Float[Tensor, "b c *space"],
    targets: Tensor,
    loss: Callable[[Tensor], Tensor],
) -> Float[Tensor, ""]:
    """The weighted sum of the heads' losses: `saccade.losses.heads_cross_entropy` for whatever targets there are."""
    each = [weight * loss(y) for weight, y in zip(network.head_weights, network.scores(images), strict=True)]
    return torch.stack(each).sum()


def illustrate(network: AGSonoNet, x: Float[Tensor, "1 c *space"]) -> list[Illustration]:
    """The paper's picture: both attention maps, the activation map of the class that is told, and the mean of all."""
    return over_image(x, network.localise(x, told(network, x)))
