"""A row of the table of mechanisms, and the rows' common tools.

A row says how to build the mechanism for 1, 2 or 3 spatial dimensions, what to feed it, what another value of every
constructor argument is, which maps it shows and which arguments it refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Draw = Callable[..., Tensor]  # sizes -> normal numbers, the next ones of a fixed sequence
Space = tuple[int, ...]


@dataclass(frozen=True)
class Change:
    """Another value of an argument, and what else must be set (in both modules) for it to matter."""

    value: Any
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mechanism:
    """One row.

    Attributes:
        make: The constructor.
        arguments: Number of spatial dimensions -> keyword arguments for ``make``. Small, and no power of two.
        inputs: (draw, batch, space) -> the inputs of forward; batch comes first in each.
        changes: For every argument of the constructor (but ``spatial_dims``): another value, which must change the
            weights' names or shapes, their start, an output, a map, or a buffer after a step in training mode.
        maps: Name of every `Tap` -> its kind.
        bad: Arguments that are refused, laid over ``arguments(dims[0])``, and a pattern of the whole message.
        dims: Numbers of spatial dimensions that it exists for. What works on sequences takes (1,).
        thick: Number of dimensions of the image -> further arguments of the module of one dimension more that equals
            it on a slab one voxel thick; kernels are put into the slab's plane.
        call: How forward is called, where plain inputs are not enough (a generator, options).
        skip: Name of a check -> why the formula does not have that property. Checks that may be skipped: slab, items
            (batch = one by one), voxel (a grid of one voxel), bfloat16, export, compile, maps.
    """

    make: Callable[..., nn.Module]
    arguments: Callable[[int], dict[str, Any]]
    inputs: Callable[[Draw, int, Space], tuple[Tensor, ...]]
    changes: Mapping[str, Any]
    maps: Mapping[str, str]
    bad: Sequence[tuple[dict[str, Any], str]]
    dims: tuple[int, ...] = (1, 2, 3)
    thick: Callable[[int], dict[str, Any]] = lambda dims: {}
    call: Callable[..., Any] = lambda module, *inputs: module(*inputs)
    skip: Mapping[str, str] = field(default_factory=dict)

    def build(self, dims: int, **other: Any) -> nn.Module:
        """The module with random weights and statistics, in eval mode."""
        return randomised(self.make(**{**self.arguments(dims), **other}))

    def run(self, module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Every output of forward."""
        result = self.call(module, *inputs)
        return list(result) if isinstance(result, tuple | list) else [result]


def draws(seed: int = 0) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    return lambda *sizes: torch.randn(sizes, generator=generator)


def randomised(module: nn.Module, seed: int = 1) -> nn.Module:
    """Random weights, biases and running statistics; eval mode."""
    draw = draws(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(draw(*value.shape).abs() + 0.5)
            elif value.is_floating_point():
                value.copy_(draw(*value.shape) / 2)
    return module.eval()


def features(channels: int) -> Callable[[Draw, int, Space], tuple[Tensor, ...]]:
    """One input: feature maps of so many channels."""
    return lambda draw, batch, space: (draw(batch, channels, *space),)
