"""U-Net, the control of Attention U-Net.

Ronneberger et al. 2015, arXiv:1505.04597; Cicek et al. 2016, arXiv:1606.06650.

Deep supervision, preparation, loss and schedule are those of `attention_unet`, so that only the gates differ.
"""

from torch import nn

from saccade.networks import UNet
from saccade.systems import attention_unet
from saccade.systems.unet_settings import UNetSettings, plan_unet

plan_network = plan_unet
PRESETS = attention_unet.PRESETS
Network = UNetSettings


def network(settings: UNetSettings) -> nn.Module:
    """The network of these settings."""
    return UNet(**settings.model_dump())
