"""The one place where the number of spatial dimensions picks a layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from saccade.errors import InputError

Layers = Mapping[int, Callable[..., Any]]  # Any: the layers' own annotations know no tuples of open length

CONV: Layers = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE: Layers = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL: Layers = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOL: Layers = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE_AVERAGE_POOL: Layers = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
BATCH_NORM: Layers = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORM: Layers = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
LINEAR_MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}


def check_spatial_dims(who: str, spatial_dims: int) -> int:
    """Give the number back if it is 1, 2 or 3.

    Raises:
        InputError: If it is anything else; the message names ``who``.
    """
    if spatial_dims not in CONV:
        raise InputError(f"{who}: spatial_dims must be 1, 2 or 3, got {spatial_dims}.")
    return spatial_dims


def per_axis(who: str, name: str, value: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """One positive whole number for each axis: a single number is repeated, a sequence is checked.

    Raises:
        InputError: If the sequence has another length than ``spatial_dims`` or a number is below 1.
    """
    numbers = (value,) * spatial_dims if isinstance(value, int) else tuple(value)
    if len(numbers) != spatial_dims or any(not isinstance(n, int) or n < 1 for n in numbers):
        raise InputError(f"{who}: {name} must be a whole number of at least 1, or {spatial_dims} of them, got {value}.")
    return numbers
