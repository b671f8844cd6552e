"""torchvision: its classifiers for images, of which the weights load by their names.

ResNet, VGG, AlexNet and DenseNet of `saccade.networks` have torchvision's names throughout. Of the constructors'
arguments only the number of classes is taken.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from saccade.networks.alexnet import AlexNet
from saccade.networks.densenet import DenseNet
from saccade.networks.resnet import ResNet
from saccade.networks.vgg import VGG
from saccade.reference.request import Request

RESNETS: dict[str, dict[str, Any]] = {
    "resnet18": {"blocks": (2, 2, 2, 2)},
    "resnet34": {"blocks": (3, 4, 6, 3)},
    "resnet50": {"blocks": (3, 4, 6, 3), "bottleneck": True},
    "resnet101": {"blocks": (3, 4, 23, 3), "bottleneck": True},
    "resnet152": {"blocks": (3, 8, 36, 3), "bottleneck": True},
}
DENSENETS: dict[str, dict[str, Any]] = {
    "densenet121": {"blocks": (6, 12, 24, 16)},
    "densenet161": {"blocks": (6, 12, 36, 24), "growth": 48, "width": 96},
    "densenet169": {"blocks": (6, 12, 32, 32)},
    "densenet201": {"blocks": (6, 12, 48, 32)},
}
_VGGS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
VGGS: dict[str, dict[str, Any]] = {
    f"{name}{ending}": {"convolutions": convolutions, "norm": norm}
    for name, convolutions in _VGGS.items()
    for ending, norm in (("", None), ("_bn", "batch"))
}


def _build(
    make: Callable[..., nn.Module], settings: dict[str, Any], request: Request, num_classes: int = 1000
) -> nn.Module:
    return make(3, num_classes, **settings)


CLASSES: dict[str, Callable[..., nn.Module]] = {
    "alexnet": partial(_build, AlexNet, {}),
    **{name: partial(_build, DenseNet, settings) for name, settings in DENSENETS.items()},
    **{name: partial(_build, ResNet, settings) for name, settings in RESNETS.items()},
    **{name: partial(_build, VGG, settings) for name, settings in VGGS.items()},
}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {}
