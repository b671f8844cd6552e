"""A small network in two or three dimensions that sees far without pooling."""

from torch import Tensor, nn


class DilatedNet(nn.Module):
    """Convolutions whose taps lie 1, 2, 4, ... voxels apart; any size goes in, and the same size comes out.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 2 or 3.
        width: Channels inside.
        depth: Convolutions; each sees twice as far as the one before.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_dims: int = 3, width: int = 16, depth: int = 3
    ) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        normalise = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[spatial_dims]
        layers: list[nn.Module] = []
        for level in range(depth):
            step = 2**level
            layers += [
                convolution(in_channels if level == 0 else width, width, 3, padding=step, dilation=step),
                normalise(width, affine=True),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = convolution(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
