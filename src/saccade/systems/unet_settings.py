"""What the U-Nets' systems share: the settings of their networks and how these are decided from the data."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from saccade.tasks.segmentation.plan import plan_pooling
from saccade.tasks.settings import Settings

WIDTHS = (16, 32, 64, 128, 256)  # of the paper
FEWEST_LEVELS = 3  # one to come from, one gate, one signal
Factor = int | tuple[int, ...]


class UNetSettings(Settings):
    """Settings of a U-Net; see `saccade.networks.UNet`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=1)
    spatial_dims: Literal[1, 2, 3] = 3
    channels: tuple[int, ...] = WIDTHS
    pooling: int | tuple[Factor, ...] = Field(2, description="factor between levels, or one entry per level")
    deep_supervision: bool = True
    norm: Literal["batch", "instance"] = "batch"


def plan_unet(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Network settings that fit the patch: dimensions, and as many levels and poolings as its size allows.

    Levels that were asked for stay: those below the smallest grid keep that grid.
    """
    patch, spacing = tuple(data["patch_size"]), tuple(data["spacing_mm"] or (1.0, 1.0, 1.0))
    dims = 2 if patch[2] == 1 else 3
    widths = list(network.get("channels", WIDTHS))
    steps = plan_pooling(patch[:dims], spacing[:dims], len(widths) - 1)
    if "channels" not in network:
        widths = widths[: max(FEWEST_LEVELS, len(steps) + 1)]
    steps += [[1] * dims] * (len(widths) - 1 - len(steps))
    return {"spatial_dims": dims, "pooling": steps, "channels": widths, **network}
