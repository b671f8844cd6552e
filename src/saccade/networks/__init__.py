"""Whole networks: tensor in, tensor out; plain modules that need nothing else of Saccade."""

from saccade.networks.attention_unet import AttentionUNet, Gates
from saccade.networks.unet import UNet

__all__ = ["AttentionUNet", "Gates", "UNet"]
