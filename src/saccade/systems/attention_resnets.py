"""ResNets with attention, in 2D and 3D; `resnet` is their control: settings, preparation and schedule are its.

Squeeze-and-excitation: Hu et al. 2018, arXiv:1709.01507. CBAM: Woo et al. 2018, arXiv:1807.06521. ECA: Wang et al.
2020, arXiv:1910.03151. SCA: Chen et al. 2017, arXiv:1611.05594, made for captions, here on the features of every block.
Non-local blocks: Wang et al. 2018, arXiv:1711.07971.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field
from torch import nn

from saccade.attention import CBAM, SCA, EfficientChannelAttention, NonLocal, SqueezeExcitation
from saccade.networks import ResNet, put_between
from saccade.systems import resnet
from saccade.systems.resnet import ResNetSettings
from saccade.tasks.settings import merge


class SqueezeSettings(ResNetSettings):
    """Settings of `se-resnet`."""

    reduction: int = Field(16, ge=1, description="the paper's r: channels of a block for each hidden unit of its gate")


class CBAMSettings(SqueezeSettings):
    """Settings of `cbam-resnet`."""

    kernel_size: int = Field(7, ge=1, description="of the spatial gate's convolution; odd")


class ECASettings(ResNetSettings):
    """Settings of `eca-resnet`."""

    kernel_size: int | None = Field(None, ge=1, description="neighbouring channels seen; null: by the paper's formula")


class SCASettings(ResNetSettings):
    """Settings of `sca-resnet`."""

    inner_channels: int = Field(512, ge=1, description="hidden units of both scores")


class NonLocalSettings(ResNetSettings):
    """Settings of `nonlocal-resnet`."""

    pairwise: Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    subsample: bool = Field(False, description="halve the grid of keys and values")
    behind: dict[int, tuple[int, ...]] | None = Field(
        None,
        description="stage (from 1): its blocks (from 0) with a non-local block behind; null: one, as in the paper",
    )


@dataclass(frozen=True)
class AttentionResNet:
    """What a system's module offers.

    Args:
        Network: Its settings.
        make: The network of these.
        small: Settings of the mechanism for the tiny preset's few channels.
    """

    Network: type[ResNetSettings]
    make: Callable[[Any, dict[str, Any]], nn.Module]
    small: Mapping[str, Any] = field(default_factory=dict)

    @property
    def PRESETS(self) -> dict[str, Any]:
        return merge(resnet.PRESETS, {"tiny": {"network": self.small}})

    def plan_network(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
        """As for `resnet`."""
        return resnet.plan_network(data, network)

    def network(self, settings: ResNetSettings) -> nn.Module:
        """The network of these settings."""
        return self.make(settings, settings.model_dump(include=set(ResNetSettings.model_fields)))

    def layer_groups(self, network: nn.Module) -> list[list[str]]:
        """As for `resnet`."""
        return resnet.layer_groups(network)


def _se(settings: SqueezeSettings, plain: dict[str, Any]) -> nn.Module:
    return ResNet(**plain, attention=lambda channels: SqueezeExcitation(channels, reduction=settings.reduction))


def _cbam(settings: CBAMSettings, plain: dict[str, Any]) -> nn.Module:
    def make(channels: int) -> nn.Module:
        kernel, dims = settings.kernel_size, settings.spatial_dims
        return CBAM(channels, reduction=settings.reduction, kernel_size=kernel, spatial_dims=dims)

    return ResNet(**plain, attention=make)


def _eca(settings: ECASettings, plain: dict[str, Any]) -> nn.Module:
    return ResNet(
        **plain, attention=lambda channels: EfficientChannelAttention(channels, kernel_size=settings.kernel_size)
    )


def _sca(settings: SCASettings, plain: dict[str, Any]) -> nn.Module:
    return ResNet(**plain, attention=lambda channels: SCA(channels, inner_channels=settings.inner_channels))


def _non_local(settings: NonLocalSettings, plain: dict[str, Any]) -> nn.Module:
    def make(channels: int) -> nn.Module:
        dims = settings.spatial_dims
        return NonLocal(channels, pairwise=settings.pairwise, subsample=settings.subsample, spatial_dims=dims)

    return put_between(ResNet(**plain), make, settings.behind)


SE = AttentionResNet(SqueezeSettings, _se, {"reduction": 4})
CHANNEL_AND_SPACE = AttentionResNet(CBAMSettings, _cbam, {"reduction": 4})
ECA = AttentionResNet(ECASettings, _eca)
SOFTMAX_CHANNEL_AND_SPACE = AttentionResNet(SCASettings, _sca, {"inner_channels": 16})
NON_LOCAL = AttentionResNet(NonLocalSettings, _non_local)
