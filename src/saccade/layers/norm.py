"""Normalisation layers by name or handed in as a factory."""

from collections.abc import Callable

from torch import nn

from saccade.errors import unknown_name
from saccade.layers.dimensions import BATCH_NORM, INSTANCE_NORM

NormFactory = Callable[[int], nn.Module]
Norm = NormFactory | str | None


def make_norm(norm: Norm, channels: int, spatial_dims: int) -> nn.Module:
    """The normalisation layer for so many channels.

    Args:
        norm: A callable from the number of channels to a module, ``"batch"``, ``"instance"`` (with learned scale and
            shift), or None for no normalisation.
        channels: Channels of the maps to be normalised.
        spatial_dims: 1, 2 or 3.

    Raises:
        InputError: For a name that is not known.

    >>> type(make_norm("batch", 8, 3)).__name__
    'BatchNorm3d'
    """
    if norm is None:
        return nn.Identity()
    if not isinstance(norm, str):
        return norm(channels)
    if norm == "batch":
        return BATCH_NORM[spatial_dims](channels)
    if norm == "instance":
        return INSTANCE_NORM[spatial_dims](channels, affine=True)
    raise unknown_name("make_norm", "normalisation", norm, ["batch", "instance"])
