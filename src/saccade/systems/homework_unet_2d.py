"""The 2D U-Net of a course on organs in BTCV (CS-8395, 2020), after Ronneberger et al. 2015, arXiv:1505.04597.

Axial slices through the pipeline of `homework_unet_3d`.
"""

from typing import Any

from pydantic import Field
from torch import nn

from saccade.networks import HomeworkUNet2D
from saccade.systems import homework_unet_3d
from saccade.tasks.settings import Settings, merge

plan_network = homework_unet_3d.plan_network
PIPELINE: dict[str, Any] = merge(
    homework_unet_3d.PIPELINE,
    # a slice without any organ teaches a Dice over foreground classes nothing
    {"plan": {"patch_voxels": 512 * 512, "slices": True}, "training": {"batch_size": 2, "foreground_fraction": 1.0}},
)
TINY: dict[str, Any] = merge(
    PIPELINE, {"plan": {"patch_voxels": 128 * 128}, "network": {"width": 8}},
    # logits times 100 give background everywhere within a minute at any rate from 1e-4 to 2e-3
    {"training": {"logit_scale": 1.0, "learning_rate": 1e-3, "batch_size": 8, "epochs": 40}},
)  # fmt: skip
PRESETS = {"default": PIPELINE, "paper": PIPELINE, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.HomeworkUNet2D`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=1)
    width: int = Field(64, ge=1, description="channels of the first level")


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return HomeworkUNet2D(**settings.model_dump())
