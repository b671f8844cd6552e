"""Subject2Vec: a volume as a set of patches, weighed by attention: Singla et al. 2018, arXiv:1806.11217."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.attention.tap import record
from saccade.explain.hooks import hooked
from saccade.losses.subject import subject_loss
from saccade.networks import ImageSubject2Vec, PatchGrid, Subject2Vec
from saccade.networks.subject2vec import UniformAttention
from saccade.tasks.settings import Settings, merge

if TYPE_CHECKING:
    from saccade.report.illustration import Illustration

LARGEST = 32  # voxels of the paper's patches
FIRST_WIDTH = 8
AIR_HU = -500  # a CT whose values reach below this shows air, and lungs where it is enclosed
SHOWN_OUTPUTS = 3
COMMON: dict[str, Any] = {
    "training": {
        # bfloat16 is wrong for 3D grids of two voxels (see saccade.tasks.check), which every patch passes
        "precision": "32-true",
        # the bias counts once for each patch, so that a step of it moves the answer as often as there are patches
        "rates": {"network.discriminative.embed.bias": 0.01},
    },
    # the decoder ends in an ELU and cannot give values below -1, so images are brought to 0..1, as in the paper; and
    # then to the range of the foreground, or the texture of lungs would be lost beside the step to what is around them
    "data": {"intensity": {"kind": "min_max"}},
    "network": {"window": True},
    # mirroring alone: to turn and scale is to interpolate, which wipes out the texture that is to be told
    "augmentation": {
        "probability": 0.0, "flip_axes": [0, 1], "noise": 0.01, "brightness": 0.02, "contrast": [0.95, 1.05],
    },
}  # fmt: skip
DEFAULT: dict[str, Any] = merge(
    COMMON, {"training": {"batch_size": 4, "weight_averaging": 0.99, "keep": "last", "epochs": 60}}
)
# The authors' code: CT at 1 mm, -1024 to 240 HU as 0 to 1, one subject a step, Adam at 1e-3, three epochs by default.
# Its loss of numbers is the squared error, which a preset cannot ask for, as it suits no classes: training.loss=mse.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 320**3},
    "data": {"intensity": {"kind": "standardise", "low": -1024.0, "high": 240.0, "mean": [-1024.0], "std": [1264.0]}},
    "network": {"patch_size": 32, "overlap": 12, "inside": 0.7, "foreground": "enclosed", "most_patches": 1000},
    "augmentation": {"probability": 0.0},
    "training": {
        "optimiser": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant", "batch_size": 1,
        "epochs": 3, "precision": "32-true",
    },
}  # fmt: skip
# For minutes on a CPU: patches of 8 voxels of images of at most 64^3, a narrower network.
TINY: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 64**3},
        "network": {"patch_size": 8, "overlap": 2, "channels": [4, 8, 16], "hidden": 16},
        "training": {"learning_rate": 4e-3, "epochs": 12, "validate_every": 4, "weight_averaging": 0.98},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.ImageSubject2Vec` and `saccade.networks.Subject2Vec`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=1)
    spatial_dims: Literal[1, 2, 3] = 3
    patch_size: int = Field(32, ge=2, description="voxels of a patch along each axis")
    overlap: int = Field(12, ge=0, description="voxels that a patch shares with the next one")
    foreground: Literal["all", "bright", "enclosed"] = Field(
        "all",
        description="where patches are: bright: a body in air; enclosed: dark within bright, the lungs of a chest",
    )
    inside: float = Field(0.7, gt=0, le=1, description="part of a patch's middle that must lie in the foreground")
    window: bool = Field(False, description="show values in the range of each image's foreground, as 0 to 1")
    most_patches: int = Field(1000, ge=1, description="of an image; of more those furthest inside are taken")
    channels: tuple[int, ...] = Field(
        (8, 16, 32, 64, 128), description="width of each level; the grid is halved behind"
    )
    hidden: int = Field(64, ge=1, description="units of the attention")
    attention: Literal["learnt", "uniform"] = Field("learnt", description="uniform: mean pooling, the control")
    scale_by_count: bool = Field(False, description="weights times the number of patches, for targets that add up")
    dropout: float = Field(0.0, ge=0, lt=1, description="of what each patch adds to the vector")
    reconstruction_weight: float = Field(10.0, ge=0, description="the paper's lambda_1, of the generative part")
    spread_weight: float = Field(1e-4, ge=0, description="the paper's lambda_2: drives weights apart")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Patches that fit the images at least twice, as many levels as bring them to one position, and where they lie.

    Raises:
        InputError: If patches that were asked for do not fit into the images.
    """
    size = tuple(data["size"])
    asked = Network.parse(network, "subject2vec")
    patch = asked.patch_size if "patch_size" in network else min(LARGEST, _power_of_two(max(2, min(size) // 2)))
    low = (data.get("intensity") or {}).get("low")
    planned = {
        "spatial_dims": len(size),
        "patch_size": patch,
        "overlap": patch * 3 // 8,  # the paper's 12 of 32
        "foreground": "all" if low is None or low > AIR_HU else "enclosed",
        "channels": [FIRST_WIDTH * 2**level for level in range((patch - 1).bit_length())],
        **network,
    }
    PatchGrid(patch, planned["overlap"]).cells(size)
    return planned


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    patches = Subject2Vec(
        settings.in_channels,
        settings.out_channels,
        spatial_dims=settings.spatial_dims,
        channels=settings.channels,
        hidden=settings.hidden,
        dropout=settings.dropout,
        scale_by_count=settings.scale_by_count,
    )
    if settings.attention == "uniform":
        patches.discriminative.attention = UniformAttention()
    return ImageSubject2Vec(
        patches,
        PatchGrid(settings.patch_size, settings.overlap),
        foreground=settings.foreground,
        inside=settings.inside,
        most_patches=settings.most_patches,
        window=settings.window,
        reconstruction_weight=settings.reconstruction_weight,
        spread_weight=settings.spread_weight,
    )


def training_loss(
    network: ImageSubject2Vec,
    images: Float[Tensor, "b c *space"],
    targets: Tensor,
    loss: Callable[[Tensor], Tensor],
) -> Tensor:
    """All three networks at once: the task, the patches made again, and attention driven apart."""
    sets = network.cut(images)
    subject = network.network.describe(sets.patches, sets.mask)
    return subject_loss(
        loss(subject.prediction),
        sets.patches,
        subject.reconstruction,
        subject.weights,
        sets.mask,
        reconstruction_weight=network.reconstruction_weight,
        spread_weight=network.spread_weight,
    )


def illustrate(network: ImageSubject2Vec, x: Float[Tensor, "1 c *space"]) -> "list[Illustration]":
    """The weights of patches, and what each adds to a score, painted back; of a volume the slice with most patches."""
    from saccade.explain.render import map_scale, overlay
    from saccade.report.illustration import Illustration
    from saccade.systems.pictures import axial, grey_of, to_bytes

    parts: list[Tensor] = []
    with torch.no_grad(), record(network) as maps, hooked(network.parts, lambda module, args, out: parts.append(out)):
        network(x)
    weights = maps["map"].tensor[0, 0]
    last: Any = network.network.discriminative.predict
    outputs = last.weight.detach()[:SHOWN_OUTPUTS]
    added = network.grid.paint(torch.einsum("od,d...->o...", outputs, parts[0][0]), x.shape[2:])
    named = {"attention, 1 is the mean": weights}
    named |= {"added to the score" if len(added) == 1 else f"added to score {n}": one for n, one in enumerate(added)}
    at = int((weights > 0).flatten(0, 1).sum(0).argmax()) if weights.ndim == 3 else None
    grey = grey_of(x[0], at=at)
    shown = []
    for title, values in named.items():
        scale = map_scale(float(values.min()), float(values.max()))
        cut = axial(values.cpu().numpy(), at)
        picture = to_bytes(overlay(grey, cut, limits=scale.limits, colormap=scale.colormap))
        shown.append(Illustration(f"{title}; {scale.limits[0]:.2g} to {scale.limits[1]:.2g}", picture))
    return shown


def _power_of_two(number: int) -> int:
    """The largest that is not above the number."""
    return 1 << (number.bit_length() - 1)
