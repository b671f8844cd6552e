"""Networks that studies hold systems against, made of systems' parts: ``saccade train evidence.controls:NAME``."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.convolution import kaiming_initialise_
from saccade.networks import LearnToPayAttention
from saccade.networks.fully_connected import FlatHead


class LinearLayers(FlatHead):
    """Two hidden linear layers over all pixels of images of one size.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        pixels: Of an image.
        hidden: Units of both hidden layers.
    """

    def __init__(self, in_channels: int, out_channels: int, *, pixels: int, hidden: int = 128) -> None:
        first = nn.Linear(in_channels * pixels, hidden)
        second, last = nn.Linear(hidden, hidden), nn.Linear(hidden, out_channels)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), last)


class VGGWithoutEstimators(nn.Module):
    """`LearnToPayAttention` without its attention: the same blocks, and the classes from the global feature alone.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        channels: Width of each block.
        convolutions: Number of convolutions of each block.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, channels: Sequence[int], convolutions: Sequence[int]
    ) -> None:
        super().__init__()
        whole = LearnToPayAttention(in_channels, out_channels, channels=channels, convolutions=convolutions)
        self.features, self.whole = whole.features, whole.whole
        self.head = nn.Linear(channels[-1], out_channels)
        kaiming_initialise_(self)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        return self.head(self.whole(self.features(x)[-1].flatten(2).mean(2)))
