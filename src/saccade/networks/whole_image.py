"""Classes and one box from an image as a whole: the steps before a detector in fastai's Deep Learning Part 2 (2018)."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.dimensions import check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.resnet import ResNet
from saccade.networks.ssd import FEATURE_STEP


class WholeImage(nn.Module):
    """Scores of the classes of an image and, where it is asked for, the corners of one box in it.

    The last map of a ResNet, all its positions side by side, goes through ReLU, dropout, a linear layer, ReLU, batch
    norm, dropout and a last linear layer. Corners are sigmoids: parts of the image's sides.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        size: Of the images: positions are not averaged, so that the network knows where things are.
        channels: Widths of the ResNet's stages.
        blocks: Blocks of each stage; (3, 4, 6, 3) is ResNet-34.
        stem: Of the ResNet; ``small`` keeps the grid, for small images.
        width: Units of the hidden layer.
        box: Whether there is a box.
        dropout: Probability, before both linear layers.

    Raises:
        InputError: For numbers below 1, or one dimension.

    >>> import torch
    >>> network = WholeImage(1, 3, size=(64, 96), channels=(4, 8, 8, 16), blocks=(1, 1, 1, 1), width=8)
    >>> scores, box = network(torch.randn(2, 1, 64, 96))
    >>> scores.shape, box.shape
    (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: Sequence[int],
        channels: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (3, 4, 6, 3),
        stem: str = "imagenet",
        width: int = 256,
        box: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_spatial_dims("WholeImage", len(size))
        refuse_below_one("WholeImage", out_channels=out_channels, width=width, size=size)
        backbone = ResNet(in_channels, 1, spatial_dims=len(size), channels=channels, blocks=blocks, stem=stem)
        del backbone.fc
        self.backbone, self.classes = backbone, out_channels
        positions = prod(-(-side // FEATURE_STEP[stem]) for side in size)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * positions, width),
            nn.ReLU(),
            nn.BatchNorm1d(width),
            nn.Dropout(dropout),
            nn.Linear(width, out_channels + (2 * len(size) if box else 0)),
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> tuple[Float[Tensor, "b classes"], Float[Tensor, "b box"]]:
        y = self.head(self.backbone.levels(x)[-1])
        return y[:, : self.classes], y[:, self.classes :].sigmoid()
