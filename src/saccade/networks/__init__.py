"""Whole networks: tensor in, tensor out; plain modules that need nothing else of Saccade."""

from saccade.networks.attention_unet import AttentionUNet, Gates
from saccade.networks.homework import HomeworkUNet2D, HomeworkUNet3D
from saccade.networks.non_local_unet import NonLocalUNet
from saccade.networks.resnet import ResNet
from saccade.networks.strided_attention_unet import StridedAttentionUNet
from saccade.networks.unet import UNet

__all__ = [
    "AttentionUNet",
    "Gates",
    "HomeworkUNet2D",
    "HomeworkUNet3D",
    "NonLocalUNet",
    "ResNet",
    "StridedAttentionUNet",
    "UNet",
]
