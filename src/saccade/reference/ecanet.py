"""BangguWu/ECANet, the authors' code of ECA-Net: models/eca_module.py and models/eca_ns.py.

As of commit 3adf7a9. Both files define eca_layer with the same arguments; the weight's shape tells which is meant, or
the file in brackets. Every builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.attention.eca import EfficientChannelAttention
from saccade.reference.request import Request


def shared(request: Request, channel: int, k_size: int = 3) -> nn.Module:
    return EfficientChannelAttention(channel, kernel_size=k_size)


def not_shared(request: Request, channel: int, k_size: int) -> nn.Module:
    return EfficientChannelAttention(channel, kernel_size=k_size, shared=False)


def either(request: Request, channel: int, k_size: int = 3) -> nn.Module:
    """ECA-NS for a kernel for each channel; ECA for one kernel, and where no weights tell."""
    kernels = request.state_shapes.get("conv.weight", (1,))[0]
    return shared(request, channel, k_size) if kernels == 1 else not_shared(request, channel, k_size)


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "eca_layer": either,
    "eca_layer (models/eca_module.py)": shared,
    "eca_layer (models/eca_ns.py)": not_shared,
}
PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    EfficientChannelAttention: lambda _: {"conv": "conv"},
}
