"""AlexNet, in the form with one column of Krizhevsky, 2014, https://arxiv.org/abs/1404.5997.

Krizhevsky, Sutskever and Hinton, 2012, ImageNet classification with deep convolutional neural networks.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import CONV, MAX_POOL, check_spatial_dims
from saccade.networks.checks import refuse_below_one, refuse_small
from saccade.networks.fully_connected import FlatHead, average_grid
from saccade.networks.start import start_convolutions_

GRID = 6  # cells along each axis that the fully connected layers see
# Kernel, step and padding of the first convolution, and the shortest axis of which three poolings leave something.
STEMS = {"imagenet": (11, 4, 2, 63), "small": (3, 1, 1, 15)}


class AlexNet(nn.Module):
    """One score per class from five convolutions with ReLU, three maximum poolings and three linear layers.

    Parts are numbered as in torchvision, so that its weights load: see `saccade.load_reference`.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        channels: Of the five convolutions.
        stem: The first convolution: ``imagenet`` (11x11, step 4; inputs from 63 positions) or ``small`` (3x3, step 1;
            from 15).
        hidden: Units of both hidden linear layers, over means on a grid of 6 cells along each axis; None for a single
            linear layer over the mean of all positions, which is what 3D has memory for.
        dropout: Probability, before each hidden layer.

    Raises:
        InputError: For numbers below 1, another number of ``channels`` than five, or an unknown stem; in forward for an
            input that is too small.

    Differs from the paper of 2012: one column, without local response normalisation.

    >>> import torch
    >>> AlexNet(1, 3, stem="small", channels=(4, 8, 8, 8, 8), hidden=16)(torch.randn(2, 1, 28, 28)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 192, 384, 256, 256),
        stem: str = "imagenet",
        hidden: int | None = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_spatial_dims("AlexNet", spatial_dims)
        refuse_below_one(
            "AlexNet",
            in_channels=in_channels,
            out_channels=out_channels,
            channels=channels,
            hidden=1 if hidden is None else hidden,
        )
        if len(channels) != 5:
            raise InputError(f"AlexNet: channels must be five numbers, got {len(channels)}.")
        if stem not in STEMS:
            raise unknown_name("AlexNet", "stem", stem, list(STEMS))
        kernel, step, padding, self.least = STEMS[stem]
        conv, a, b, c, d, e = CONV[spatial_dims], *channels
        self.features = nn.Sequential(
            conv(in_channels, a, kernel, step, padding),
            nn.ReLU(),
            MAX_POOL[spatial_dims](3, 2),
            conv(a, b, 5, padding=2),
            nn.ReLU(),
            MAX_POOL[spatial_dims](3, 2),
            conv(b, c, 3, padding=1),
            nn.ReLU(),
            conv(c, d, 3, padding=1),
            nn.ReLU(),
            conv(d, e, 3, padding=1),
            nn.ReLU(),
            MAX_POOL[spatial_dims](3, 2),
        )
        self.avgpool = average_grid(GRID, spatial_dims, hidden)
        self.classifier = FlatHead(nn.Linear(e, out_channels))
        if hidden is not None:
            self.classifier = FlatHead(
                nn.Dropout(dropout),
                nn.Linear(e * GRID**spatial_dims, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, out_channels),
            )
        start_convolutions_(self)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        refuse_small("AlexNet", x, self.least, 'stem="small" takes 15.')
        return self.classifier(self.avgpool(self.features(x)))
