"""What the U-Nets' systems share: the settings of their networks and how these are decided from the data."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from saccade.tasks.segmentation.plan import plan_pooling
from saccade.tasks.settings import Settings

Factor = int | tuple[int, ...]


class UNetSettings(Settings):
    """Settings of a U-Net; see `saccade.networks.UNet`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=1)
    spatial_dims: Literal[1, 2, 3] = 3
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    pooling: int | tuple[Factor, ...] = Field(2, description="factor between levels, or one entry per level")
    deep_supervision: bool = True
    norm: Literal["batch", "instance"] = "batch"


def plan_unet(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Network settings that fit the patch: dimensions, and as many levels and poolings as its size allows."""
    patch, spacing = tuple(data["patch_size"]), tuple(data["spacing_mm"] or (1.0, 1.0, 1.0))
    dims = 2 if patch[2] == 1 else 3
    widths = tuple(network.get("channels", (16, 32, 64, 128, 256)))
    steps = plan_pooling(patch[:dims], spacing[:dims], len(widths) - 1)
    decided = {"spatial_dims": dims, "pooling": steps, "channels": list(widths[: len(steps) + 1])}
    return {**decided, **network}
