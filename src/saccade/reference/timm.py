"""timm: classifiers for images, of which the weights load by their names; with channel attention too.

ResNets, plain or with squeeze-and-excitation or ECA in their blocks, VGG and DenseNet. Of the constructors' arguments
the numbers of classes and of input channels are taken. Some of timm's convolutions are linear layers here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from saccade.attention.eca import EfficientChannelAttention
from saccade.attention.squeeze import SqueezeExcitation
from saccade.networks.densenet import DenseNet
from saccade.networks.residual import ResidualBlock
from saccade.networks.resnet import ResNet
from saccade.networks.vgg import VGG
from saccade.reference.request import Request
from saccade.reference.torchvision import DENSENETS, RESNETS, VGGS


def _squeeze(channels: int) -> nn.Module:
    """A sixteenth of the channels inside, but at least 8."""
    return SqueezeExcitation(channels, reduction=min(16, max(channels // 8, 1)))


def _build(
    make: Callable[..., nn.Module],
    settings: dict[str, Any],
    request: Request,
    num_classes: int = 1000,
    in_chans: int = 3,
) -> nn.Module:
    return make(in_chans, num_classes, **settings)


CLASSES: dict[str, Callable[..., nn.Module]] = {
    **{name: partial(_build, DenseNet, settings) for name, settings in DENSENETS.items()},
    **{
        f"{before}{name}": partial(_build, ResNet, {**settings, "attention": attention})
        for name, settings in RESNETS.items()
        for before, attention in (("", None), ("se", _squeeze), ("eca", EfficientChannelAttention))
    },
    **{name: partial(_build, VGG, settings) for name, settings in VGGS.items()},
}


def prepare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with those of convolutions that are linear layers here as (out, in)."""
    linear = (".se.fc1.weight", ".se.fc2.weight")
    return {
        key: value.flatten(1) if key.endswith(linear) or (key.startswith("pre_logits.") and value.ndim > 1) else value
        for key, value in state.items()
    }


def _children(**renamed: str) -> Callable[[Any], dict[str, str]]:
    """All children under their own names, but for these."""
    return lambda module: {name: renamed.get(name, name) for name, _ in module.named_children()}


def _vgg_names(module: Any) -> dict[str, str]:
    names = ("head.fc",) if len(module.classifier) == 1 else ("pre_logits.fc1", "pre_logits.fc2", "head.fc")
    linear = [i for i, layer in enumerate(module.classifier) if isinstance(layer, nn.Linear)]
    return {"features": "features", **{f"classifier.{i}": name for i, name in zip(linear, names, strict=True)}}


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    EfficientChannelAttention: lambda _: {"conv": "conv"},
    ResNet: _children(),
    ResidualBlock: _children(attention="se"),
    SqueezeExcitation: lambda _: {"shrink": "fc1", "grow": "fc2"},
    VGG: _vgg_names,
    nn.Sequential: _children(),
}
