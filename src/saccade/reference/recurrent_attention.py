"""kevinzakka/recurrent-visual-attention, a re-implementation of RAM: the classes of modules.py and model.py.

As of commit a38ac89. Locations are x first; the published code takes them along both axes by the image's height.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saccade.attention.glimpse import GlimpseSensor
from saccade.attention.glimpse_policy import LocationPolicy
from saccade.networks.recurrent_attention import CoreNetwork, GlimpseNetwork
from saccade.reference.request import Request


class ByHeight(nn.Module):
    """A sensor whose locations count along both axes by the image's height."""

    def __init__(self, sensor: GlimpseSensor) -> None:
        super().__init__()
        self.sensor = sensor

    def forward(self, x: Tensor, l: Tensor) -> Tensor:  # noqa: E741  # the published name
        return self.sensor(x, _by_height(x, l))


class Retina(ByHeight):
    """All patches in one row per image, and the last patch before it was averaged."""

    def forward(self, x: Tensor, l: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # noqa: E741
        return super().forward(x, l).flatten(1), self.sensor.patch(x, _by_height(x, l), self.sensor.sides[-1])


def _by_height(x: Tensor, location: Tensor) -> Tensor:
    height, width = x.shape[2:]
    if height == width:
        return location
    return torch.stack([(location[:, 0] + 1) * (height / width) - 1, location[:, 1]], 1)


class ActionNetwork(nn.Module):
    """Logarithms of the classes' probabilities."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(channels, classes)

    def forward(self, h_t: Tensor) -> Tensor:
        return torch.log_softmax(self.out(h_t), 1)


class LocationNetwork(nn.Module):
    """The policy, the log-probability first."""

    def __init__(self, policy: LocationPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, h_t: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        location, log_probability = self.policy(h_t, generator=generator)
        return log_probability, location


class BaselineNetwork(nn.Module):
    """What reward the state promises; it teaches the state nothing."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(channels, outputs)

    def forward(self, h_t: Tensor) -> Tensor:
        return self.out(h_t.detach())


class RecurrentAttention(nn.Module):
    """One step: a glimpse, the new state, the next location, the baseline; at the last step the classes too."""

    def __init__(
        self,
        sensor: GlimpseNetwork,
        core: CoreNetwork,
        locator: LocationNetwork,
        classifier: ActionNetwork,
        baseline: BaselineNetwork,
    ) -> None:
        super().__init__()
        self.sensor, self.core, self.locator = sensor, core, locator
        self.classifier, self.baseline = classifier, baseline

    def forward(self, x: Tensor, l_t_prev: Tensor, h_t_prev: Tensor, last: bool = False) -> tuple[Tensor, ...]:
        state = self.core(self.sensor(x, l_t_prev), h_t_prev)
        log_pi, location = self.locator(state)
        found = state, location, self.baseline(state).squeeze()
        return (*found, self.classifier(state), log_pi) if last else (*found, log_pi)


def retina(request: Request, g: int, k: int, s: int | float) -> Retina:
    return Retina(GlimpseSensor(g, scales=k, factor=s))


def glimpse_network(request: Request, h_g: int, h_l: int, g: int, k: int, s: int | float, c: int) -> GlimpseNetwork:
    sensor = ByHeight(GlimpseSensor(g, scales=k, factor=s))
    return GlimpseNetwork(sensor, k * g * g * c, what=h_g, where=h_l)


def core_network(request: Request, input_size: int, hidden_size: int) -> CoreNetwork:
    return CoreNetwork(input_size, hidden_size)


def action_network(request: Request, input_size: int, output_size: int) -> ActionNetwork:
    return ActionNetwork(input_size, output_size)


def location_network(request: Request, input_size: int, output_size: int, std: int | float) -> LocationNetwork:
    policy = LocationPolicy(input_size, spatial_dims=output_size, std=std, hidden_channels=input_size // 2)
    return LocationNetwork(policy)


def baseline_network(request: Request, input_size: int, output_size: int) -> BaselineNetwork:
    return BaselineNetwork(input_size, output_size)


def recurrent_attention(
    request: Request,
    g: int,
    k: int,
    s: int | float,
    c: int,
    h_g: int,
    h_l: int,
    std: int | float,
    hidden_size: int,
    num_classes: int,
) -> RecurrentAttention:
    return RecurrentAttention(
        glimpse_network(request, h_g, h_l, g, k, s, c),
        core_network(request, hidden_size, hidden_size),
        location_network(request, hidden_size, 2, std),
        action_network(request, hidden_size, num_classes),
        baseline_network(request, hidden_size, 1),
    )


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "ActionNetwork": action_network,
    "BaselineNetwork": baseline_network,
    "CoreNetwork": core_network,
    "GlimpseNetwork": glimpse_network,
    "LocationNetwork": location_network,
    "RecurrentAttention": recurrent_attention,
    "Retina": retina,
}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    ActionNetwork: lambda _: {"out": "fc"},
    BaselineNetwork: lambda _: {"out": "fc"},
    CoreNetwork: lambda _: {"from_glimpse": "i2h", "from_state": "h2h"},
    GlimpseNetwork: lambda _: {"what.0": "fc1", "where.0": "fc2", "what.2": "fc3", "where.2": "fc4"},
    LocationNetwork: lambda _: {"policy": ""},
    LocationPolicy: lambda _: {"hidden": "fc", "out": "fc_lt"},
    RecurrentAttention: lambda _: {
        "sensor": "sensor",
        "core": "rnn",
        "locator": "locator",
        "classifier": "classifier",
        "baseline": "baseliner",
    },
}
