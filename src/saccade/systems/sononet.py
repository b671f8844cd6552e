"""SonoNet, for planes of ultrasound: Baumgartner et al. 2017, arXiv:1612.05601. The control of `ag-sononet`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.networks import SonoNet
from saccade.report.illustration import Illustration
from saccade.systems import resnet
from saccade.systems.pictures import axial, grey_of, to_bytes
from saccade.tasks.settings import Settings

CONVOLUTIONS = (3, 3, 3, 2, 2)
FEWEST_BLOCKS = 3  # of the gated form, which pools from three
COARSEST = 3  # positions that a default network has left along the shortest axis, if it can

# As the code that holds SonoNet against its gated form trains both: frames cut to 208 x 272, each standardised by
# itself, rare planes drawn more often. There the background makes half of what is drawn, here it is one class of all.
# There the rate is divided by 10 after a third and two thirds of 300 epochs; here it falls as a polynomial.
PUBLISHED: dict[str, Any] = {
    "plan": {"pixels": 208 * 272},
    "data": {"intensity": {"kind": "z_score", "mean": [0.0], "std": [1.0]}},
    "augmentation": {
        "probability": 1.0, "rotation_degrees": 25.0, "scale": [0.7, 1.3], "shift_fraction": 0.02, "flip_axes": [1],
    },
    "training": {
        "optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 1e-6, "schedule": "polynomial", "batch_size": 64,
        "epochs": 300, "balanced_sampling": True,
    },
}  # fmt: skip
TINY: dict[str, Any] = {**resnet.TINY, "network": {"width": 8}}
PAPER = {**PUBLISHED, "network": {"width": 64, "convolutions": [2, 2, 3, 3, 3]}}
PRESETS = {"default": resnet.DEFAULT, "paper": PAPER, "tiny": TINY}


class SonoNetSettings(Settings):
    """Settings of the network; see `saccade.networks.SonoNet`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(14, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    width: int = Field(16, ge=1, description="of the first block, the w of SonoNet-w; then 2w, 4w, 8w, 8w")
    convolutions: tuple[int, ...] = Field(
        CONVOLUTIONS, min_length=1, description="of each block; 2, 2, 3, 3, 3 in SonoNet's own paper"
    )

    def arguments(self) -> dict[str, Any]:
        """Of the network's constructor."""
        channels = [min(2**block, 8) * self.width for block in range(len(self.convolutions))]
        return {**self.model_dump(exclude={"width"}), "channels": channels}


Network = SonoNetSettings


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and fewer blocks than five for images that cannot be halved so often."""
    size: Sequence[int] = tuple(data["size"])
    blocks = max(FEWEST_BLOCKS, (min(size) // COARSEST).bit_length())
    return {"spatial_dims": len(size), "convolutions": CONVOLUTIONS[:blocks], **network}


def network(settings: SonoNetSettings) -> nn.Module:
    """The network of these settings."""
    return SonoNet(**settings.arguments())


def illustrate(network: SonoNet, x: Float[Tensor, "1 c *space"]) -> list[Illustration]:
    """Where the class that is told was seen."""
    return over_image(x, network.localise(x, told(network, x)))


def told(network: nn.Module, x: Float[Tensor, "1 c *space"]) -> int:
    """The output with the highest score."""
    with torch.no_grad():
        return int(network(x)[0].argmax())


def over_image(x: Float[Tensor, "1 c *space"], maps: Mapping[str, Float[Tensor, "1 1 *space"]]) -> list[Illustration]:
    """The image under each map from 0 to 1; of a volume the slice that has most of it."""
    from saccade.explain.render import overlay

    shown = []
    for name, map_ in maps.items():
        values = map_[0, 0].float().cpu().numpy()
        at = int(values.sum((0, 1)).argmax()) if values.ndim == 3 else None
        picture = overlay(grey_of(x[0], at=at), axial(values, at), limits=(0.0, 1.0))
        shown.append(Illustration(name, to_bytes(picture)))
    return shown
