"""Attention U-Net for organs in CT and MR: Oktay et al. 2018, arXiv:1804.03999."""

from typing import Literal

from torch import nn

from saccade.networks import AttentionUNet
from saccade.systems.unet_settings import UNetSettings, plan_unet

plan_network = plan_unet

# The paper: 2 mm voxels, patches of 160 x 160 x 96, Sorensen-Dice with squared denominators, Adam, batches of 2 to 4;
# learning rate, decay, halving and the augmentation's strengths are those of the authors' released configuration.
PAPER = {
    "plan": {"patch_voxels": 160 * 160 * 96},
    "network": {"channels": [16, 32, 64, 128, 256], "pooling": 2},
    "data": {"spacing_mm": [2.0, 2.0, 2.0], "patch_size": [160, 160, 96], "intensity": {"kind": "z_score"}},
    "augmentation": {
        "probability": 1.0,
        "rotation_degrees": 15.0,
        "shift_fraction": 0.1,
        "scale": [0.7, 1.3],
        "flip_axes": [0, 1],
    },
    "training": {
        "loss": "squared_dice",
        "optimiser": "adam",
        "learning_rate": 1e-4,
        "weight_decay": 1e-6,
        "schedule": "halving",
        "batch_size": 2,
        "epochs": 1000,
        "foreground_fraction": 0.0,
        "validate_every": 10,
    },
}
DEFAULT = {
    # at the end of a falling learning rate the latest averaged weights are as good as any, and nothing is chosen
    "training": {"weight_averaging": 0.995, "keep": "last"},
    "augmentation": {"noise": 0.1, "brightness": 0.1, "contrast": [0.9, 1.1]},
}
# For minutes on a CPU: voxels so coarse that a patch shows most of the body, and where an organ lies is in sight.
TINY = {
    "plan": {"patch_voxels": 60 * 60 * 40, "volume_voxels": 60 * 60 * 40},
    "network": {"channels": [8, 16, 32, 64]},
    "training": {
        "weight_averaging": 0.98,
        "learning_rate": 8e-3,
        "epochs": 20,
        "steps_per_epoch": 50,
        "validate_every": 5,
        "keep": "last",
        "batch_size": 2,  # PyTorch's fast convolutions take no batch of one where levels are small
    },
    "augmentation": {"rotation_degrees": 10.0, "scale": [0.9, 1.1], "noise": 0.1},
}
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(UNetSettings):
    """Settings of the network; see `saccade.networks.AttentionUNet`."""

    gates: Literal["shared", "multi", "single", "grid"] = "shared"


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return AttentionUNet(**settings.model_dump())
