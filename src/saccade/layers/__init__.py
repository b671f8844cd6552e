"""Building blocks that are not attention: convolutions, normalisation and resampling for 1, 2 and 3 dimensions."""

from saccade.layers.convolution import ConvNormReLU, DoubleConv, kaiming_initialise_
from saccade.layers.norm import Norm, make_norm
from saccade.layers.resample import LinearUpsample, TransposedUpsample, Upsampling, resize

__all__ = [
    "ConvNormReLU",
    "DoubleConv",
    "LinearUpsample",
    "Norm",
    "TransposedUpsample",
    "Upsampling",
    "kaiming_initialise_",
    "make_norm",
    "resize",
]
