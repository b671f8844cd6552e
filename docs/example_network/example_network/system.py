"""The network as a system of Saccade: what the entry point ``saccade.systems`` names."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import nn

from example_network.network import DilatedNet
from saccade.systems import System
from saccade.tasks.settings import Settings

SYSTEM = System(
    name="dilated-net",
    module="example_network.system",
    task="segmentation",
    paper="an example of docs/own-network.md",
    control="unet",
    summary="Dilated convolutions without pooling",
    parameters=14_434,
)
# Whatever a preset leaves out is decided from the data or has its default; see docs/training.md for the settings.
PRESETS: dict[str, Any] = {
    "default": {"training": {"learning_rate": 1e-3}},
    "tiny": {"plan": {"patch_voxels": 40 * 40 * 24}, "network": {"width": 8}, "training": {"epochs": 20}},
}


class Network(Settings):
    """Settings of the network."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=1)
    spatial_dims: int = Field(3, ge=2, le=3)
    width: int = Field(16, ge=1)
    depth: int = Field(3, ge=1)


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that follow from the ``data`` part of the configuration; those that were given stay."""
    return {"spatial_dims": 2 if data["patch_size"][2] == 1 else 3, **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    return DilatedNet(**settings.model_dump())
