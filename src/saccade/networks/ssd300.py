"""SSD: a detector with default boxes on maps of six sizes behind VGG-16.

Liu et al., 2016, https://arxiv.org/abs/1512.02325.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.anchors import prior_boxes
from saccade.layers.norm import Norm, make_norm
from saccade.networks.checks import refuse_below_one
from saccade.networks.ssd import AnchorHead
from saccade.networks.start import start_convolutions_

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width and convolutions: VGG-16
WIDE = 1024  # channels of fc6 and fc7
EXTRAS = ((256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1))  # inner and outer width, step, of each map
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
STEPS = (8, 16, 32, 64, 100, 300)  # pixels from a position to the next in images of 300, as released
FIRST, LOW, HIGH, BEYOND = 0.1, 0.2, 0.88, 1.05  # sides of boxes in parts of the image's, as released
SMALLEST = 32


class ScaledNorm(nn.Module):
    """The vector of channels at each position brought to length 1, times a number learnt for each channel.

    Liu et al. 2016, section 3.1, after ParseNet, arXiv:1506.04579.

    Args:
        channels: Of the map.
        scale: At the start.
    """

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return nn.functional.normalize(x, dim=1, eps=1e-10) * self.scale[:, None, None]


class SSD300(nn.Module):
    """Scores and box offsets for the default boxes of six maps: conv4_3 and fc7 of VGG-16, and four behind them.

    An image of 300 x 300 has maps of 38, 19, 10, 5, 3 and 1 positions along a side and 8732 boxes. Boxes are
    `saccade.layers.boxes.decode` of the offsets, the loss is `saccade.losses.multibox_loss`: column 0 of the scores is
    background. VGG's layers are numbered as in torchvision (``features.0`` ...), so that its weights load where there
    is no norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Columns of the scores: background and classes.
        size: Pixels of the image's side; small images have fewer maps.
        width: Factor on the channels of all layers.
        norm: Behind the convolutions of VGG and of the maps; None (default) as in the paper, ``batch`` to train from
            the start.

    Raises:
        InputError: For a size below 32, or numbers below 1.

    Differs from the paper: with sizes other than 300, sides of boxes are spread over the maps that are left by the
    paper's equation 4 between 0.2 and 0.88 of the image, 0.1 on the first map, and positions divide the image evenly;
    at 300 the released code's steps of 8, 16, 32 and 64 pixels do so but roughly.

    >>> network = SSD300(3, 21, width=0.05)
    >>> scores, offsets = network(torch.randn(1, 3, 300, 300))
    >>> scores.shape, offsets.shape, network.anchors().shape
    (torch.Size([1, 8732, 21]), torch.Size([1, 8732, 4]), torch.Size([8732, 4]))
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, size: int = 300, width: float | int = 1.0, norm: Norm = None
    ) -> None:
        super().__init__()
        refuse_below_one("SSD300", in_channels=in_channels, out_channels=out_channels)
        if size < SMALLEST or width <= 0:
            raise InputError(f"SSD300: size must be at least {SMALLEST} and width above 0, got {size} and {width}.")

        def wide(channels: int) -> int:
            return max(4, round(channels * width))

        self.size = size
        self.features = nn.Sequential()
        into = in_channels
        for number, (channels, count) in enumerate(BLOCKS, start=1):
            for _ in range(count):
                _append(self.features, nn.Conv2d(into, wide(channels), 3, padding=1), norm)
                into = wide(channels)
            if number == 4:
                self.first = len(self.features)  # layers up to conv4_3
            last = number == len(BLOCKS)
            self.features.append(nn.MaxPool2d(3, 1, 1) if last else nn.MaxPool2d(2, ceil_mode=number == 3))
        self.scale = ScaledNorm(wide(512))
        self.converted = nn.Sequential()  # fc6 with holes, fc7
        _append(self.converted, nn.Conv2d(into, wide(WIDE), 3, padding=6, dilation=6), norm)
        _append(self.converted, nn.Conv2d(wide(WIDE), wide(WIDE), 1), norm)
        first = -(-(size // 4) // 2)
        self.grids, into = [first, first // 2], wide(WIDE)
        self.extras = nn.ModuleList()
        widths = [wide(512), into]
        for inner, outer, step in EXTRAS:
            grid = -(-self.grids[-1] // 2) if step == 2 else self.grids[-1] - 2
            if grid < 1 or self.grids[-1] == 1:
                break
            extra = nn.Sequential()
            _append(extra, nn.Conv2d(into, wide(inner), 1), norm)
            _append(extra, nn.Conv2d(wide(inner), wide(outer), 3, stride=step, padding=step - 1), norm)
            self.extras.append(extra)
            self.grids.append(grid)
            into = wide(outer)
            widths.append(into)
        self.heads = nn.ModuleList(
            AnchorHead(channels, out_channels, 2 + 2 * len(ratios), bias=0.0)
            for channels, ratios in zip(widths, RATIOS, strict=False)
        )
        start_convolutions_(self)
        for head in self.heads:
            for conv in (head.scores, head.boxes):  # type: ignore[union-attr]
                nn.init.xavier_uniform_(conv.weight)  # type: ignore[union-attr, arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b a columns"], Float[Tensor, "b a 4"]]:
        if tuple(x.shape[2:]) != (self.size, self.size):
            raise InputError(f"SSD300: images must be {self.size} x {self.size}, got {tuple(x.shape[2:])}.")
        maps = []
        x = self.features[: self.first](x)
        maps.append(self.scale(x))
        x = self.converted(self.features[self.first :](x))
        maps.append(x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        scores, boxes = zip(*(head(y) for head, y in zip(self.heads, maps, strict=True)), strict=True)
        return torch.cat(scores, 1), torch.cat(boxes, 1)

    def anchors(self) -> Float[Tensor, "a 4"]:
        """The default boxes, in parts of the image."""
        steps = STEPS if self.size == 300 else [self.size / grid for grid in self.grids]
        sides = _sides(len(self.grids), self.size)
        return prior_boxes(
            self.grids,
            image=self.size,
            steps=steps,
            smallest=sides[:-1],
            largest=sides[1:],
            ratios=RATIOS[: len(self.grids)],
        )


def _append(layers: nn.Sequential, conv: nn.Module, norm: Norm) -> None:
    layers.append(conv)
    if norm is not None:
        layers.append(make_norm(norm, conv.out_channels, 2))  # type: ignore[arg-type]
    layers.append(nn.ReLU())


def _sides(maps: int, size: int) -> Sequence[float]:
    """Of the boxes of each map, and of the one that would follow, in pixels."""
    parts = [FIRST, *np.linspace(LOW, HIGH, maps - 1), BEYOND]
    return [round(float(part) * size, 6) for part in parts]
