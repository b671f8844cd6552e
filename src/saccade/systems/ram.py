"""RAM: a classifier that sees an image through a few glimpses and learns by reward where to look next.

Mnih et al. 2014, arXiv:1406.6247.
"""

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.attention.glimpse import GlimpseSensor
from saccade.attention.glimpse_policy import Chance, draw
from saccade.attention.tap import record
from saccade.errors import InputError
from saccade.losses.hybrid import decision_loss
from saccade.networks import RecurrentAttentionModel
from saccade.report.illustration import Illustration
from saccade.systems import resnet
from saccade.systems.pictures import in_picture, picture_of
from saccade.tasks.settings import Settings, merge

# One pass without chance starts in the middle, where training rarely does: averages of drawn passes err half as often.
DEFAULT: dict[str, Any] = merge(resnet.DEFAULT, {"network": {"samples": 8}, "training": {"batch_size": 64}})
# Section 4: SGD with momentum, a rate that falls to nothing as a straight line (here as (1 - p)^0.9), batches of 20.
# Rate and standard deviation came from a random search that the paper does not tell the outcome of.
PAPER: dict[str, Any] = {
    "network": {"samples": 8},
    "augmentation": {"probability": 0.0},
    "training": {
        "optimiser": "sgd", "learning_rate": 0.01, "weight_decay": 0.0, "schedule": "polynomial", "batch_size": 20,
        "epochs": 400,
    },
}  # fmt: skip
TINY: dict[str, Any] = merge(
    DEFAULT,
    {
        "plan": {"pixels": 64 * 64},
        "network": {"hidden": 128},
        "training": {"learning_rate": 2e-3, "epochs": 40, "validate_every": 10, "weight_averaging": 0.98},
    },
)
PRESETS = {"default": DEFAULT, "paper": PAPER, "tiny": TINY}

SMALL = 32  # pixels; up to here the paper has one patch of 8 x 8 a glimpse, above several of 12 x 12
SEED = 0  # of the draws of a trained network
SECONDS = 0.8  # that a glimpse is shown
FAINT = 0.25  # opacity of the glimpses that are not shown at the moment


class Network(Settings):
    """Settings of the network; see `saccade.networks.RecurrentAttentionModel`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(10, ge=1)
    spatial_dims: Literal[1, 2, 3] = 2
    size: int = Field(8, ge=1, description="pixels of a side of a glimpse, the paper's g_w")
    scales: int = Field(
        1, ge=1, description="patches of a glimpse, each twice as wide as the one before, the paper's k"
    )
    glimpses: int = Field(6, ge=2, description="how often it looks, the paper's T")
    hidden: int = Field(256, ge=2, multiple_of=2, description="units of the state")
    std: float = Field(0.15, gt=0, description="standard deviation of the locations, in half image widths")
    locations: Literal["learned", "random"] = Field(
        "learned", description="random: anywhere each time, the control; needs samples of at least 1"
    )
    samples: int = Field(
        0,
        ge=0,
        description="passes with drawn locations over which a trained network averages, the paper's M; 0: one pass "
        "from the middle to where it aims, without chance",
    )
    reward_weight: float = Field(1.0, ge=0, description="what REINFORCE counts in the loss")

    @model_validator(mode="after")
    def _random_locations_are_drawn(self) -> "Network":
        if self.locations == "random" and self.samples == 0:
            raise ValueError("samples must be at least 1 with random locations, which aim nowhere, got 0")
        return self


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, and glimpses as the paper has them: 8 x 8 for 28 x 28, three of 12 x 12 for 60 and four for 100.

    Raises:
        InputError: If the targets are no classes, which alone can be right or wrong.
    """
    kind = data.get("kind", "classes")
    if kind != "classes":
        raise InputError(f"ram: data.kind must be classes, since a right class is its reward, got {kind}. Take resnet.")
    size = tuple(data["size"])
    shortest = min(size)
    planned = (
        {"size": 8, "scales": 1, "glimpses": 6}
        if shortest <= SMALL
        else {"size": 12, "scales": 1 + int(log2(shortest / 12)), "glimpses": 8}
    )
    return {"spatial_dims": len(size), **planned, **network}


class RAM(RecurrentAttentionModel):
    """`RecurrentAttentionModel` with the settings of how it learns and how a trained one looks.

    The draws of a trained network are the same for every image: an image always gets the same answer, whatever else is
    in its batch, and where a change of the image changes the answer it is not by chance.

    Args:
        settings: Of the network and these.
    """

    def __init__(self, settings: Network) -> None:
        own = {"locations", "samples", "reward_weight", "in_channels", "out_channels"}
        super().__init__(settings.in_channels, settings.out_channels, **settings.model_dump(exclude=own))
        self.samples, self.reward_weight = settings.samples, settings.reward_weight
        if settings.locations == "random":
            self.policy = Anywhere(settings.spatial_dims)  # type: ignore[assignment]

    def forward(
        self, x: Float[Tensor, "b c *space"], *, samples: int | None = None, generator: Chance = None
    ) -> Float[Tensor, "b classes"]:
        """Logarithms of the class probabilities.

        Args:
            x: Images.
            samples: As in the settings, if it is not to be another number.
            generator: Of all draws; those of a trained network are always the same when left out.
        """
        samples = self.samples if samples is None else samples
        if samples > 0 and generator is None and not self.training:
            generator = [torch.Generator(x.device).manual_seed(SEED) for _ in x]
        return super().forward(x, samples=samples, generator=generator)


class Anywhere(nn.Module):
    """A policy that learns nothing: every location is drawn evenly from the whole image.

    Args:
        spatial_dims: Numbers of a location.
    """

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims

    def mean(self, state: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """The middle, whatever was seen."""
        return state.new_zeros(len(state), self.spatial_dims)

    def forward(
        self, state: Float[Tensor, "b c"], *, generator: Chance = None
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b"]]:
        """A location, and 0: there is nothing to make likelier."""
        return 2 * draw(torch.rand, state, self.spatial_dims, generator) - 1, state.new_zeros(len(state))


def network(settings: Network) -> RAM:
    """The network of these settings."""
    return RAM(settings)


def training_loss(
    network: RAM,
    images: Float[Tensor, "b c *space"],
    targets: Integer[Tensor, "b"],
    loss: Callable[[Tensor], Tensor],
) -> Float[Tensor, ""]:
    """The hybrid loss of section 3: classes by their own loss, locations by reward, from one drawn pass an image.

    Args:
        network: In training.
        images: A batch.
        targets: Its classes.
        loss: Of the class scores.
    """
    looks = network.look(images)
    right = (looks.scores.argmax(1) == targets).to(looks.scores.dtype)
    decisions = decision_loss(right, looks.log_probabilities, looks.baselines, reward_weight=network.reward_weight)
    return loss(looks.scores) + decisions


def illustrate(network: RAM, x: Float[Tensor, "1 c *space"]) -> list[Illustration]:
    """The path of the eye, glimpse after glimpse; of a volume on the slice that the last glimpse looked at."""
    with torch.no_grad(), record(network) as maps:
        network(x)
    path = torch.stack([call[:1] for call in maps["glimpse.sensor.map"].calls[: network.glimpses]])
    points, boxes = _places(network, path.float().cpu(), x.shape[2:])
    at = None if len(x.shape) == 4 else int(np.clip(points[-1, 2], 0, x.shape[-1] - 1))
    picture = picture_of(x[0], at=at)
    drawn = draw_path(in_picture(points, x.shape[2:]), in_picture(boxes, x.shape[2:]), max(picture.shape[:2]))
    which = f", the first of {network.samples} passes" if network.samples else ""
    return [Illustration(f"Its {network.glimpses} glimpses{which}", picture, drawn)]


def _places(
    network: RAM, path: Float[Tensor, "t 1 d"], shape: Sequence[int]
) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, "t scales 2 d"]]:
    """Locations, and the corners of their patches, in pixels along the image's axes."""
    sensor, places = network.glimpse.sensor, path[:, 0]
    assert isinstance(sensor, GlimpseSensor)
    points = (places.flip(1).numpy() + 1) / 2 * np.array(shape)
    boxes = torch.stack([torch.stack(box, 1) for box in sensor.boxes(places, shape)], 1)
    return points, boxes.numpy()


def draw_path(points: Float[np.ndarray, "t 2"], boxes: Float[np.ndarray, "t scales 2 2"], side: int) -> str:
    """SVG of a path over a picture of this side: all glimpses faintly, one after the other brightly, the last longer.

    Args:
        points: Where it looked, x first.
        boxes: Two opposite corners of each patch.
        side: Pixels of the picture's longer side.
    """
    steps, length = len(points), (len(points) + 1) * SECONDS
    repeat = f'dur="{length:.1f}s" repeatCount="indefinite"/>'
    thin = 'fill="none" vector-effect="non-scaling-stroke"'
    places = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    parts = [f'<polyline points="{places}" stroke="#fff" stroke-width="1" stroke-opacity="0.6" {thin}/>']
    for step, ((x, y), patches) in enumerate(zip(points, boxes, strict=True)):
        colour = f"hsl({50 - 110 * step / max(1, steps - 1):.0f},95%,62%)"  # from yellow over red to violet
        shown = "".join(
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{wide:.2f}" height="{high:.2f}" stroke="{colour}" '
            f'stroke-width="2" {thin}/>'
            for (left, top), (wide, high) in zip(patches.min(1), np.ptp(patches, axis=1), strict=True)
        )
        dot = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{side / 60:.2f}" fill="{colour}"/>'
        number = (
            f'<text x="{x + side / 40:.2f}" y="{y - side / 40:.2f}" font-size="{side / 14:.2f}" fill="{colour}" '
            f'stroke="#000" stroke-width="{side / 120:.2f}" paint-order="stroke">{step + 1}</text>'
        )
        times, opacities = [step / (steps + 1)], [1.0]
        if step > 0:
            times, opacities = [0.0, *times], [FAINT, *opacities]
        if step < steps - 1:
            times, opacities = [*times, (step + 1) / (steps + 1)], [*opacities, FAINT]
        change = (
            f'<animate attributeName="opacity" calcMode="discrete" values="{_list(opacities)}" '
            f'keyTimes="{_list(times)}" {repeat}'
        )
        parts.append(f'<g opacity="{FAINT}">{change}{shown}{dot}{number}</g>')
    return "".join(parts)


def _list(numbers: Sequence[float]) -> str:
    return ";".join(f"{number:.4g}" for number in numbers)
