"""A network for images that classifies videos, whose frames meet in non-local blocks.

Wang et al. 2018, arXiv:1711.07971.

Videos are volumes (frames, rows, columns). Without blocks (``behind: {}``) this is the paper's C2D, the control.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.attention import NonLocal
from saccade.attention.tap import record
from saccade.errors import InputError
from saccade.networks import NonLocalC2D, put_between
from saccade.networks.non_local_c2d import places_of_the_paper
from saccade.report.illustration import Illustration
from saccade.systems import resnet
from saccade.systems.pictures import picture_of, window_of
from saccade.systems.video_sheet import Sheet, arrows
from saccade.tasks.settings import Settings, merge

STRONGEST = 20  # arrows, as many as in the paper's figure
MOST_FRAMES = 16  # that are shown; of longer videos every second, third ...
FINEST = 96  # pixels of a frame's longer side that are shown
HEADS = 12  # of arrows in the rows of a frame
STILL = {"augmentation": {"probability": 0.0}}  # turning, scaling and shifting would mix rows and columns with time
# Table 1: clips of 32 frames of 224 x 224; section 4.2: SGD, 400,000 steps of 64 clips, rate 0.01, weight decay 1e-4.
# The paper divides the rate by 10 after every 150,000 steps, here it falls as a polynomial; the paper has dropout
# before the last layer and shows frames at random scales, neither is here.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 32 * 224 * 224},
    "network": {"stem": "imagenet"},
    **STILL,
    "training": {
        "optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4, "schedule": "polynomial", "batch_size": 64,
        "epochs": 100, "steps_per_epoch": 4000, "loss": "auto",
    },
}  # fmt: skip
DEFAULT: dict[str, Any] = merge(resnet.DEFAULT, STILL, {"plan": PAPER["plan"]})
# For minutes on a CPU: one block, where the frames have half their size.
TINY: dict[str, Any] = merge(
    resnet.TINY,
    STILL,
    {
        "plan": {"pixels": 16 * 32 * 32},
        "network": {"channels": [8, 16, 32], "bottleneck": False},
        "training": {"batch_size": 16},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.NonLocalC2D`."""

    in_channels: int = Field(3, ge=1)
    out_channels: int = Field(400, ge=1)
    channels: tuple[int, ...] = Field((64, 128, 256, 512), description="width of each stage")
    blocks: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage; 3, 4, 6, 3 is ResNet-50")
    bottleneck: bool = Field(True, description="blocks of three convolutions, as from ResNet-50 on")
    stem: Literal["imagenet", "small"] = Field("imagenet", description="small: no early shrinking, all frames stay")
    behind: dict[int, tuple[int, ...]] | None = Field(
        None,
        description="stage (from 1): its blocks (from 0) with a non-local block behind; null: every other one of "
        "stages 2 and 3, the paper's five (at least one); {}: none",
    )
    pairwise: Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    subsample: bool = Field(True, description="halve the rows and columns of keys and values, not their frames")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The stem that fits the frames.

    Raises:
        InputError: If the images are no videos.
    """
    size = tuple(data["size"])
    if len(size) != 3:
        shape = " x ".join(map(str, size))
        raise InputError(
            f"nonlocal-c2d: images must be videos (frames, rows, columns), got pictures of {shape}. "
            "Take nonlocal-resnet."
        )
    return {"stem": "small" if min(size[1:]) < resnet.SMALL else "imagenet", **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    plain = settings.model_dump(exclude={"behind", "pairwise", "subsample"})

    def make(channels: int) -> nn.Module:
        return NonLocal(channels, pairwise=settings.pairwise, subsample=settings.subsample, spatial_dims=3)

    behind = places_of_the_paper(settings.blocks) if settings.behind is None else settings.behind
    return put_between(NonLocalC2D(**plain, behind={}), make, behind)


def illustrate(network: nn.Module, x: Float[Tensor, "1 c t h w"]) -> list[Illustration]:
    """Arrows from one position to the 20 that weigh most for it, over the frames in reading order (figure 3).

    It is the position that the last non-local block changes most. The heavier another one, the denser its arrow; a ring
    is one in the same place. Without a block there is no picture.
    """
    blocks = [(name, module) for name, module in network.named_modules() if isinstance(module, NonLocal)]
    if not blocks:
        return []
    name, block = blocks[-1]
    start, ends, weights = strongest(network, block, x)
    frames, step, finer = x.shape[2], ceil(x.shape[2] / MOST_FRAMES), ceil(max(x.shape[3:]) / FINEST)
    window = window_of(x[0])
    shown = [picture_of(x[0, :, t, ::finer, ::finer], window=window) for t in range(0, frames, step)]
    sheet = Sheet(frames / step, *shown[0].shape[:2])
    overlay = arrows(sheet.place(start), sheet.place(ends), weights, sheet.rows / HEADS)
    where = f"for one in frame {int(start[0] * frames)} of 0 to {frames - 1}"
    title = f"{name}: the {len(weights)} positions that weigh most {where}"
    return [Illustration(title, sheet.paste(shown), overlay)]


@torch.no_grad()
def strongest(
    network: nn.Module, block: NonLocal, x: Tensor
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """The position that a block changes most, and the 20 keys that weigh most for it.

    Returns:
        Where they lie in the video, from 0 to 1 along each axis, and the weights, the largest first.
    """
    changes: list[Tensor] = []
    handle = block.register_forward_hook(lambda _, args, out: changes.append((out - args[0])[0].square().sum(0)))
    try:
        network(x)
    finally:
        handle.remove()
    grid = tuple(changes[-1].shape)
    position = tuple(int(place) for place in np.unravel_index(int(changes[-1].argmax()), grid))
    with record(block, queries=[position]) as maps:
        network(x)
    seen = maps["map"]
    assert seen.key_grid is not None
    row = seen.tensor[0, :, 0].mean(0).float().cpu().numpy()
    order = np.argsort(-np.abs(row), kind="stable")[:STRONGEST]
    keys = np.stack(np.unravel_index(order, seen.key_grid), 1)
    return (np.array(position) + 0.5) / np.array(grid), (keys + 0.5) / np.array(seen.key_grid), row[order]
