"""moskomule/senet.pytorch: senet/se_module.py.

As of commit 8cb2669. The builder has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.attention.squeeze import SqueezeExcitation
from saccade.reference.request import Request


def se_layer(request: Request, channel: int, reduction: int = 16) -> nn.Module:
    return SqueezeExcitation(channel, reduction=reduction, bias=False)


CLASSES: dict[str, Callable[..., nn.Module]] = {"SELayer": se_layer}
PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    SqueezeExcitation: lambda _: {"shrink": "fc.0", "grow": "fc.2"},
}
