"""The 3D U-Net of a course on organs in BTCV (CS-8395, 2020), after Cicek et al. 2016, arXiv:1606.06650.

The course's pipeline: each volume min-max scaled to 0..255, blocks as they are stored (no resampling, no augmentation),
soft Dice over the foreground classes of logits times 100, results as ``seg/<case>_seg.nii.gz``. Different from the
course's code: blocks come from anywhere in the volume instead of one corner, and results lie where the scan lies.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import nn

from saccade.networks import HomeworkUNet3D
from saccade.tasks.settings import Settings

PIPELINE: dict[str, Any] = {
    "plan": {"patch_voxels": 128 * 128 * 64},
    "data": {"spacing_mm": None, "intensity": {"kind": "min_max"}},
    "augmentation": {"probability": 0.0},
    "inference": {"file_pattern": "seg/{case}_seg.nii.gz"},
    "training": {
        "loss": "homework_dice",
        "optimiser": "adam",
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "schedule": "constant",
        "precision": "32-true",  # as the course had it; times 100, the rounding of bfloat16 would choose classes
        "batch_size": 1,
        "foreground_fraction": 0.0,
    },
}
# A CPU-sized network on small blocks, the same preparation and loss. As printed it learns hardly anything in minutes:
# without batch norm, with logits times 100, and with a last ReLU that silences classes for good.
TINY: dict[str, Any] = {
    **PIPELINE,
    "plan": {"patch_voxels": 48 * 48 * 32},
    "network": {"width": 4, "batch_norm": True, "final_relu": False},
    "training": {**PIPELINE["training"], "logit_scale": 1.0, "learning_rate": 1e-3, "batch_size": 2, "epochs": 40},
}
PRESETS = {"default": PIPELINE, "paper": PIPELINE, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.HomeworkUNet3D`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(14, ge=1)
    width: int = Field(32, ge=1, description="channels of the first convolution")
    final_relu: bool = Field(True, description="a ReLU after the last layer, as in the course's class")
    batch_norm: bool = Field(False, description="batch norm in the encoder, an option of the course's class")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The course's network has nothing to decide."""
    return dict(network)


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return HomeworkUNet3D(**settings.model_dump())
