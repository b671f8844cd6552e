"""The two networks that Respond-CAM was tried on: they tell particles in subtomograms apart.

Zhao et al., 2018, Respond-CAM: Analyzing deep models for 3D imaging data by visualizations,
https://arxiv.org/abs/1806.00102.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from saccade.errors import InputError
from saccade.layers.dimensions import AVERAGE_POOL, CONV, MAX_POOL, check_spatial_dims
from saccade.networks.checks import refuse_below_one


class TomogramCNN(nn.Module):
    """One score per class from four 3x3 convolutions with ReLU, a maximum pooling behind each two, three linear layers.

    CNN-1 of the paper; with ``prepool`` its CNN-2, which halves the volume first. The layer that is explained there is
    ``pool2``. 33,237,559 parameters for volumes of 40 voxels along each axis and 23 classes.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        size: Voxels of the input along each axis: 1 to 3 numbers.
        channels: Of the four convolutions.
        hidden: Units of the two linear layers before the last.
        prepool: Whether to begin with a mean over 2 voxels along each axis.
        bias: Whether the linear layers have biases. Without them Respond-CAM's map at ``pool2`` sums to the score.

    Raises:
        InputError: For numbers below 1, another number of channels or hidden layers, or a size of which pooling leaves
            nothing; in forward for inputs of another size.

    Differs from the paper: none in the networks; it has them in 3D only.

    >>> import torch
    >>> TomogramCNN(1, 6, size=(16, 16, 16), channels=(2, 2, 3, 3), hidden=(5, 5))(torch.randn(2, 1, 16, 16, 16)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: Sequence[int] = (40, 40, 40),
        channels: Sequence[int] = (32, 32, 64, 64),
        hidden: Sequence[int] = (512, 512),
        prepool: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        dims = check_spatial_dims("TomogramCNN", len(size))
        refuse_below_one(
            "TomogramCNN", in_channels=in_channels, out_channels=out_channels, channels=channels, hidden=hidden
        )
        if len(channels) != 4 or len(hidden) != 2:
            raise InputError(
                f"TomogramCNN: channels must be four numbers and hidden two, got {len(channels)} and {len(hidden)}."
            )
        least = 8 if prepool else 4
        if min(size) < least - prepool:
            raise InputError(
                f"TomogramCNN: size must be at least {least - prepool} along each axis, got {tuple(size)}."
            )
        self.size = tuple(size)
        conv, pool = CONV[dims], MAX_POOL[dims]
        first, second, third, fourth = channels
        # padded as the paper's: what is left over at the end is a cell of its own
        self.prepool = AVERAGE_POOL[dims](2, ceil_mode=True) if prepool else nn.Identity()
        self.conv1, self.relu1 = conv(in_channels, first, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = conv(first, second, 3, padding=1), nn.ReLU()
        self.pool1 = pool(2)
        self.conv3, self.relu3 = conv(second, third, 3, padding=1), nn.ReLU()
        self.conv4, self.relu4 = conv(third, fourth, 3, padding=1), nn.ReLU()
        self.pool2 = pool(2)
        cells = 1
        for length in self.size:
            cells *= (-(-length // 2) if prepool else length) // 4
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(fourth * cells, hidden[0], bias=bias),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1], bias=bias),
            nn.ReLU(),
            nn.Linear(hidden[1], out_channels, bias=bias),
        )
        for part in self.modules():  # as the authors' framework begins
            if isinstance(part, nn.Linear | _ConvNd):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        if tuple(x.shape[2:]) != self.size:
            raise InputError(f"TomogramCNN: inputs must have size {self.size}, got {tuple(x.shape[2:])}.")
        x = self.relu2(self.conv2(self.relu1(self.conv1(self.prepool(x)))))
        x = self.relu4(self.conv4(self.relu3(self.conv3(self.pool1(x)))))
        return self.head(self.pool2(x))
