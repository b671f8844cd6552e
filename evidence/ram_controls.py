"""Networks that see the whole image at once: what Mnih et al. 2014, arXiv:1406.6247, held RAM against.

The paper's sizes, as public notes on it tell them: two layers of 256 units; 8 filters of 10 x 10 with a stride of 5,
then 256 units.
"""

import torch
from torch import Tensor, nn

HIDDEN = 256


class FullyConnected(nn.Module):
    """Two hidden layers with ReLU.

    Args:
        in_channels: Channels of the images.
        out_channels: Classes.
        side: Pixels of their sides.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int = 28) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * side**2, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(x)
        return scores


class Convolutional(nn.Module):
    """One convolution and one hidden layer, both with ReLU.

    Args:
        in_channels: Channels of the images.
        out_channels: Classes.
        side: Pixels of their sides.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int = 28) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, 8, 10, stride=5)
        positions = ((side - 10) // 5 + 1) ** 2
        self.hidden = nn.Linear(8 * positions, HIDDEN)
        self.classify = nn.Linear(HIDDEN, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.convolution(x)).flatten(1)
        scores: Tensor = self.classify(torch.relu(self.hidden(seen)))
        return scores
