"""Densely connected networks: every layer sees the maps of all layers before it.

Huang et al., 2017, https://arxiv.org/abs/1608.06993.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import unknown_name
from saccade.layers.dimensions import AVERAGE_POOL, BATCH_NORM, CONV, MAX_POOL, check_spatial_dims
from saccade.networks.checks import refuse_below_one, refuse_small
from saccade.networks.start import start_convolutions_

STEMS = ("imagenet", "small")
BOTTLENECK = 4  # channels of a layer's 1x1 convolution for each channel that it adds


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution; the result is put behind the input.

    Args:
        in_channels: Channels of the input.
        growth: Channels that are added.
        spatial_dims: 1, 2 or 3.
    """

    def __init__(self, in_channels: int, growth: int, spatial_dims: int) -> None:
        super().__init__()
        conv, inner = CONV[spatial_dims], BOTTLENECK * growth
        self.norm1 = BATCH_NORM[spatial_dims](in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(in_channels, inner, 1, bias=False)
        self.norm2 = BATCH_NORM[spatial_dims](inner)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(inner, growth, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space"]:
        y = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu2(self.norm2(y)))], 1)


class DenseNet(nn.Module):
    """One score per class from blocks in which every layer adds a few maps to those of all before it.

    With ``blocks`` (6, 12, 24, 16) DenseNet-121, (6, 12, 32, 32) DenseNet-169, (6, 12, 48, 32) DenseNet-201; with
    (6, 12, 36, 24), a ``growth`` of 48 and a ``width`` of 96 DenseNet-161. Between blocks a 1x1 convolution halves the
    channels and mean pooling the grid. Parts have torchvision's names, so that its weights and timm's load: see
    `saccade.load_reference`.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        growth: Channels that each layer adds, the paper's k.
        blocks: Number of layers of each block.
        width: Channels of the first convolution.
        stem: ``imagenet`` (a 7x7 convolution of step 2, then maximum pooling by 2) or ``small``: a 3x3 convolution that
            keeps the grid, for inputs below some 64 pixels.

    Raises:
        InputError: For numbers below 1 or an unknown stem; in forward for an input that is too small to be halved as
            often as there are blocks.

    >>> import torch
    >>> DenseNet(1, 3, spatial_dims=3, growth=4, blocks=(2, 2), width=8)(torch.randn(2, 1, 9, 7, 11)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        growth: int = 32,
        blocks: Sequence[int] = (6, 12, 24, 16),
        width: int = 64,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_spatial_dims("DenseNet", spatial_dims)
        refuse_below_one(
            "DenseNet", in_channels=in_channels, out_channels=out_channels, growth=growth, blocks=blocks, width=width
        )
        if stem not in STEMS:
            raise unknown_name("DenseNet", "stem", stem, list(STEMS))
        conv, norm = CONV[spatial_dims], BATCH_NORM[spatial_dims]
        halvings = len(blocks) - 1
        # Stem and pooling round up, mean pooling rounds down.
        self.least = 4 * (2**halvings - 1) + 1 if stem == "imagenet" else 2**halvings
        kernel, step = (7, 2) if stem == "imagenet" else (3, 1)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv0"] = conv(in_channels, width, kernel, step, kernel // 2, bias=False)
        parts["norm0"] = norm(width)
        parts["relu0"] = nn.ReLU()
        if stem == "imagenet":
            parts["pool0"] = MAX_POOL[spatial_dims](3, stride=2, padding=1)
        for number, count in enumerate(blocks, start=1):
            layers = {f"denselayer{i + 1}": DenseLayer(width + i * growth, growth, spatial_dims) for i in range(count)}
            parts[f"denseblock{number}"] = nn.Sequential(OrderedDict(layers))
            width += count * growth
            if number < len(blocks):
                parts[f"transition{number}"] = nn.Sequential(
                    OrderedDict(
                        norm=norm(width),
                        relu=nn.ReLU(),
                        conv=conv(width, width // 2, 1, bias=False),
                        pool=AVERAGE_POOL[spatial_dims](2),
                    )
                )
                width //= 2
        parts[f"norm{len(blocks) + 1}"] = norm(width)
        self.features = nn.Sequential(parts)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(width, out_channels)
        start_convolutions_(self)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        refuse_small("DenseNet", x, self.least, "Take fewer blocks.")
        return self.classifier(self.relu(self.features(x)).flatten(2).mean(2))
