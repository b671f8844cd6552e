"""Spatial transformer network: moves, zooms and turns its input, then classifies. Jaderberg et al. 2015, 1506.02025."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.attention.spatial_transformer_grids import sample
from saccade.attention.tap import record
from saccade.layers.dimensions import per_axis
from saccade.networks import LeNet, Localisation, STNClassifier
from saccade.networks.fully_connected import FlatHead
from saccade.networks.lenet import FIELD
from saccade.report.illustration import Illustration
from saccade.systems import resnet
from saccade.systems.pictures import in_picture, picture_of, polyline, window_of
from saccade.tasks.settings import Settings, merge

DEFAULT: dict[str, Any] = merge(
    resnet.DEFAULT,
    {
        # Around a prepared image zeros are a grey frame, which can teach a network to zoom out.
        "network": {"padding": "border"},
        # What is looked at must not move faster than the classifier behind it can follow.
        "training": {"rates": {"transformer.*": 0.1}},
    },
)
# A public demonstration on digits that were turned, scaled and moved: pictures of 32 x 32, linear layers of 128 units
# behind the transformer, and one rate for all.
PAPER: dict[str, Any] = {
    "plan": {"pixels": 32 * 32},
    "network": {"channels": None, "hidden": 128, "padding": "zeros"},
    "augmentation": {"probability": 0.0},
    "training": {
        "optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 5e-4, "schedule": "constant", "batch_size": 256,
        "epochs": 30,
    },
}  # fmt: skip
TINY: dict[str, Any] = merge(DEFAULT, {"plan": {"pixels": 64 * 64}, "training": resnet.TINY["training"]})
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}

LINES = 9  # of a sampling grid that are drawn along each axis
GRID, OUTLINE = "#4dd0ff", "#ffb000"


class Network(Settings):
    """Settings of the network; see `saccade.networks.STNClassifier`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(10, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    transform: Literal["affine", "attention", "projective", "thin_plate_spline"] = Field(
        "affine", description="what it may do to the input; the last two to pictures only"
    )
    padding: Literal["zeros", "border", "reflection"] = Field("zeros", description="what lies outside the input")
    size: tuple[int, ...] | None = Field(
        None, description="pixels or voxels that the classifier gets to see; null: as many as the input has"
    )
    localisation_channels: int = Field(20, ge=1, description="of both convolutions that regress the transform")
    channels: tuple[int, ...] | None = Field(
        (6, 16, 120), description="of the classifier's three convolutions, a LeNet's; null: two hidden linear layers"
    )
    hidden: int = Field(84, ge=1, description="units of the classifier's hidden layer or layers")

    @model_validator(mode="after")
    def _linear_layers_know_their_size(self) -> "Network":
        if self.channels is None and self.size is None:
            raise ValueError("size must be given where channels are null: linear layers take images of one size")
        return self


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions; the classifier sees half of the pixels along each axis, but as many as LeNet's field if there are."""
    size = tuple(data["size"])
    seen = [max(n // 2, min(n, FIELD)) for n in size]
    return {"spatial_dims": len(size), "size": seen, **network}


def network(settings: Network) -> nn.Module:
    """The network of these settings."""
    sizes, dims = (settings.in_channels, settings.out_channels), settings.spatial_dims
    localisation = Localisation(
        settings.in_channels,
        spatial_dims=dims,
        channels=settings.localisation_channels,
        features=STNClassifier.FEATURES,
    )
    classifier: nn.Module
    if settings.channels is not None:
        classifier = LeNet(*sizes, spatial_dims=dims, channels=settings.channels, hidden=settings.hidden)
    else:
        classifier = _linear_layers(settings)
    return STNClassifier(
        *sizes,
        spatial_dims=dims,
        size=settings.size,
        transform=settings.transform,
        padding=settings.padding,
        localisation=localisation,
        classifier=classifier,
    )


def _linear_layers(settings: Network) -> nn.Module:
    size = per_axis("stn", "size", settings.size or (), settings.spatial_dims)
    seen, hidden = settings.in_channels * int(np.prod(size)), settings.hidden
    return FlatHead(
        nn.Linear(seen, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, settings.out_channels),
    )


def illustrate(network: STNClassifier, x: Float[Tensor, "1 c *space"]) -> list[Illustration]:
    """The grid at which the input is sampled, and what the classifier gets to see; of a volume its middle slice.

    Lines of the grid go through centres of the output's pixels; its outline, in another colour, through the outermost.
    """
    with torch.no_grad(), record(network) as maps:
        network(x)
    transformer, grid = network.transformer, maps["transformer.map"].tensor
    seen = sample(x, grid, align_corners=transformer.align_corners, padding=transformer.padding)[0]
    mesh, at = _middle(_places(grid[0], x.shape[2:]), x.shape[2:])
    window = window_of(x[0])
    return [
        Illustration("Where it looks", picture_of(x[0], at=at, window=window), draw_mesh(mesh, x.shape[2:])),
        Illustration("What its classifier sees", picture_of(seen, window=window)),
    ]


def _places(grid: Float[Tensor, "*size d"], shape: torch.Size) -> Float[np.ndarray, "*size d"]:
    """Where a grid in [-1, 1], x first, lies in pixels from the input's outer edge, first axis first."""
    return (grid.float().cpu().numpy()[..., ::-1] + 1) / 2 * np.array(shape)


def _middle(
    places: Float[np.ndarray, "*size d"], shape: torch.Size
) -> tuple[Float[np.ndarray, "rows columns d"], int | None]:
    """The grid of the output's middle slice, and the slice of the input that it lies nearest to."""
    if len(shape) == 2:
        return places, None
    mesh = places[:, :, places.shape[2] // 2]
    return mesh, int(np.clip(np.floor(mesh[..., 2].mean()), 0, shape[2] - 1))


def draw_mesh(mesh: Float[np.ndarray, "rows columns d"], shape: torch.Size) -> str:
    """SVG lines of a sampling grid on the picture of an input of this shape, the outline last."""
    points, width = in_picture(mesh, shape), max(shape[:2]) / 200
    drawn: dict[bool, list[str]] = {False: [], True: []}
    for lines in (points, points.swapaxes(0, 1)):
        last = len(lines) - 1
        for number in np.unique(np.linspace(0, last, min(last + 1, LINES)).round().astype(int)):
            outer = number in (0, last)
            style = (OUTLINE, 2 * width) if outer else (GRID, width)
            drawn[outer].append(polyline(lines[number], *style))
    return "".join(drawn[False] + drawn[True])
