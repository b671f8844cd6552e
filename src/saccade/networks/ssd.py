"""The detector of fastai's Deep Learning Part 2 (2018), lesson 9: anchors on one to three coarse grids.

A teaching form of SSD, Liu et al. 2016, https://arxiv.org/abs/1512.02325.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.anchors import grid_anchors
from saccade.layers.dimensions import BATCH_NORM, CONV, check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.resnet import ResNet

FEATURE_STEP = {"imagenet": 32, "small": 8}  # pixels for each position of the features, by stem


class StandardConv(nn.Module):
    """Convolution of 3, ReLU, batch norm, dropout, in this order.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        spatial_dims: 2 or 3.
        stride: Step.
        dropout: Share of values dropped while training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_dims: int, stride: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.conv = CONV[spatial_dims](in_channels, out_channels, 3, stride=stride, padding=1)
        self.norm = BATCH_NORM[spatial_dims](out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        return self.dropout(self.norm(torch.relu(self.conv(x))))


class AnchorHead(nn.Module):
    """Scores of the classes and activations of the box for each of k anchors at every position of a map.

    Args:
        in_channels: Channels of the map.
        classes: How many.
        anchors: The number k.
        spatial_dims: 2 or 3.
        bias: Of the scores at the start; below 0, as most anchors stand for nothing.
    """

    def __init__(
        self, in_channels: int, classes: int, anchors: int, *, spatial_dims: int = 2, bias: float = -3.0
    ) -> None:
        super().__init__()
        self.anchors = anchors
        self.scores = CONV[spatial_dims](in_channels, classes * anchors, 3, padding=1)
        self.boxes = CONV[spatial_dims](in_channels, 2 * spatial_dims * anchors, 3, padding=1)
        nn.init.constant_(self.scores.bias, bias)

    def forward(self, x: Float[Tensor, "b c *space"]) -> tuple[Float[Tensor, "b a classes"], Float[Tensor, "b a box"]]:
        return self.by_anchor(self.scores(x)), self.by_anchor(self.boxes(x))

    def by_anchor(self, y: Tensor) -> Tensor:
        """(b, k c, *space) -> (b, positions k, c): all anchors of a position together, as `grid_anchors` has them."""
        return y.flatten(2).transpose(1, 2).reshape(len(y), y[0, 0].numel() * self.anchors, -1)


class SSD(nn.Module):
    """Scores and box activations for anchors on the coarse maps behind a ResNet.

    The last map of the ResNet (7 x 7 for an image of 224) goes through a convolution that keeps the grid and ``maps``
    that halve it: 4 x 4, 2 x 2, 1 x 1. Each of these has a head. Boxes are `decode_within_cell` of the activations,
    the loss is `saccade.losses.lecture_loss`; background is no class.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 2 or 3.
        channels: Widths of the ResNet's stages, four of them.
        blocks: Blocks of each stage; (3, 4, 6, 3) is the lecture's ResNet-34.
        stem: Of the ResNet; ``small`` keeps the grid, for small images.
        width: Channels of the maps with heads.
        maps: How many maps have a head: 1 is the lecture's single head, 3 its multi head.
        zooms: See `grid_anchors`.
        ratios: See `grid_anchors`; None for a cube and, with one axis halved each time, as many more as there are axes.
        dropout: Of features and convolutions; None for the lecture's: 0.25 and 0.1 with one map, 0.4 with several.
        bias: Of the scores at the start; None for the lecture's: -3 with one map, -4 with several.

    Raises:
        InputError: For numbers below 1, one dimension, or other than four stages.

    Differs from the lecture: no column of scores for background, which it has and never looks at; its ``out0``, a head
    that is not used, is left out.

    >>> network = SSD(3, 20, channels=(4, 8, 8, 16), blocks=(1, 1, 1, 1), width=8, maps=3)
    >>> scores, boxes = network(torch.randn(2, 3, 224, 224))
    >>> scores.shape, boxes.shape, network.anchors((224, 224))[0].shape
    (torch.Size([2, 63, 20]), torch.Size([2, 63, 4]), torch.Size([63, 4]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (3, 4, 6, 3),
        stem: str = "imagenet",
        width: int = 256,
        maps: int = 3,
        zooms: Sequence[float] = (1.0,),
        ratios: Sequence[Sequence[float]] | None = None,
        dropout: float | None = None,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        check_spatial_dims("SSD", spatial_dims)
        refuse_below_one("SSD", out_channels=out_channels, width=width, maps=maps)
        if spatial_dims == 1 or len(channels) != 4:
            raise InputError(
                f"SSD: must have 2 or 3 dimensions and four stages, got {spatial_dims} and {len(channels)}."
            )
        single = maps == 1
        self.zooms, self.ratios = tuple(zooms), tuple(ratios or _ratios(spatial_dims))
        backbone = ResNet(in_channels, 1, spatial_dims=spatial_dims, channels=channels, blocks=blocks, stem=stem)
        del backbone.fc
        self.backbone, self.feature_step = backbone, FEATURE_STEP[stem]
        of_features, of_convolutions = (0.25, 0.1) if single else (0.4, 0.4)
        if dropout is not None:
            of_features = of_convolutions = dropout
        self.dropout = nn.Dropout(of_features)
        self.start = StandardConv(channels[-1], width, spatial_dims=spatial_dims, stride=1, dropout=of_convolutions)
        self.steps = nn.ModuleList(
            StandardConv(width, width, spatial_dims=spatial_dims, dropout=of_convolutions) for _ in range(maps)
        )
        start = bias if bias is not None else (-3.0 if single else -4.0)
        each = len(self.zooms) * len(self.ratios)
        self.heads = nn.ModuleList(
            AnchorHead(width, out_channels, each, spatial_dims=spatial_dims, bias=start) for _ in range(maps)
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> tuple[Float[Tensor, "b a classes"], Float[Tensor, "b a box"]]:
        y = self.start(self.dropout(self.backbone.levels(x)[-1]))
        found = []
        for step, head in zip(self.steps, self.heads, strict=True):
            y = step(y)
            found.append(head(y))
        scores, boxes = zip(*found, strict=True)
        return torch.cat(scores, 1), torch.cat(boxes, 1)

    def grids(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Positions of each map with a head, for an input of this shape."""
        grid, found = tuple(-(-size // self.feature_step) for size in shape), []
        for _ in self.steps:
            grid = tuple(-(-size // 2) for size in grid)
            found.append(grid)
        return found

    def anchors(self, shape: Sequence[int]) -> tuple[Float[Tensor, "a box"], Float[Tensor, "a d"]]:
        """Anchors in parts of an input of this shape (its axes in order), and the sides of their cells."""
        return grid_anchors(self.grids(shape), zooms=self.zooms, ratios=self.ratios)


def _ratios(dims: int) -> list[tuple[float, ...]]:
    """(1, 1), (1, .5), (.5, 1): the lecture's."""
    return [(1.0,) * dims] + [
        tuple(0.5 if axis == half else 1.0 for axis in range(dims)) for half in reversed(range(dims))
    ]
