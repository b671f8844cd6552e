"""VGG: blocks of 3x3 convolutions with maximum pooling behind each.

Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.dimensions import CONV, MAX_POOL, check_spatial_dims
from saccade.layers.norm import Norm, make_norm
from saccade.networks.checks import refuse_below_one, refuse_small
from saccade.networks.fully_connected import FlatHead, average_grid
from saccade.networks.start import start_convolutions_

GRID = 7  # cells along each axis that the fully connected layers see


class VGG(nn.Module):
    """One score per class from blocks of convolutions with ReLU and three linear layers.

    With ``convolutions`` (1, 1, 2, 2, 2) VGG-11, (2, 2, 2, 2, 2) VGG-13, (2, 2, 3, 3, 3) VGG-16, (2, 2, 4, 4, 4)
    VGG-19.
    Parts are numbered as in torchvision, so that its weights load: see `saccade.load_reference`. Every block
    halves the grid, so that five of them need 32 positions along each axis; smaller inputs take fewer blocks.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        channels: Width of each block.
        convolutions: Number of convolutions of each block.
        norm: Behind every convolution; see `saccade.layers.make_norm`. Batch norm (default), or None as in the paper.
        hidden: Units of both hidden linear layers, over means on a grid of 7 cells along each axis; None for a single
            linear layer over the mean of all positions, which is what 3D has memory for.
        dropout: Probability, behind each hidden layer.

    Raises:
        InputError: For numbers below 1, or blocks without a width or number of convolutions; in forward for an input
            that is too small.

    >>> import torch
    >>> VGG(1, 3, spatial_dims=3, channels=(4, 8), convolutions=(1, 2), hidden=None)(torch.randn(2, 1, 9, 7, 5)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
        norm: Norm = "batch",
        hidden: int | None = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_spatial_dims("VGG", spatial_dims)
        refuse_below_one(
            "VGG",
            in_channels=in_channels,
            out_channels=out_channels,
            channels=channels,
            convolutions=convolutions,
            hidden=1 if hidden is None else hidden,
        )
        if len(channels) != len(convolutions):
            raise InputError(
                f"VGG: channels and convolutions must name the same blocks, got {len(channels)} and "
                f"{len(convolutions)}."
            )
        self.least = 2 ** len(channels)
        self.features = nn.Sequential()
        into = in_channels
        for width, count in zip(channels, convolutions, strict=True):
            for _ in range(count):
                self.features.append(CONV[spatial_dims](into, width, 3, padding=1))
                if norm is not None:
                    self.features.append(make_norm(norm, width, spatial_dims))
                self.features.append(nn.ReLU())
                into = width
            self.features.append(MAX_POOL[spatial_dims](2))
        self.avgpool = average_grid(GRID, spatial_dims, hidden)
        self.classifier = FlatHead(nn.Linear(into, out_channels))
        if hidden is not None:
            self.classifier = FlatHead(
                nn.Linear(into * GRID**spatial_dims, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, out_channels),
            )
        start_convolutions_(self)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        refuse_small("VGG", x, self.least, "Take fewer blocks.")
        return self.classifier(self.avgpool(self.features(x)))
