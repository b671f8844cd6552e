"""RetinaNet: a pyramid of maps, and two small networks that see each of them.

Lin et al., 2017, https://arxiv.org/abs/1708.02002; the pyramid is Lin et al., 2017, https://arxiv.org/abs/1612.03144.
"""

from collections.abc import Sequence
from math import log
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from saccade.errors import InputError
from saccade.layers.anchors import proportions_of, pyramid_anchors
from saccade.layers.dimensions import CONV, check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.residual import Attention
from saccade.networks.resnet import ResNet
from saccade.networks.ssd import AnchorHead

PRIOR = 0.01  # chance of an object at the start: the paper's pi
SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


class FeaturePyramid(nn.Module):
    """Maps of equal width from those of a backbone, each with what the coarser ones know.

    ``p_i = conv3(conv1(c_i) + nearest(m_{i+1}))``, and behind the coarsest c as many maps as are asked for, each half
    the one before: the first from c itself, the others from the ReLU of the one before.

    Args:
        in_channels: Of the backbone's maps, finest first.
        channels: Of all maps of the pyramid.
        extra: Maps behind the coarsest.
        spatial_dims: 2 or 3.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, *, extra: int, spatial_dims: int) -> None:
        super().__init__()
        conv = CONV[spatial_dims]
        self.lateral = nn.ModuleList(conv(width, channels, 1) for width in in_channels)
        self.smooth = nn.ModuleList(conv(channels, channels, 3, padding=1) for _ in in_channels)
        self.extra = nn.ModuleList(
            conv(in_channels[-1] if first else channels, channels, 3, stride=2, padding=1)
            for first in [True, *[False] * (extra - 1)][:extra]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + F.interpolate(merged[level + 1], size=merged[level].shape[2:])
        found = [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]
        x = maps[-1]
        for number, conv in enumerate(self.extra):
            x = conv(torch.relu(x) if number else x)
            found.append(x)
        return found


class RetinaNet(nn.Module):
    """Scores and box offsets for the anchors of every map of a pyramid behind a ResNet.

    One network of convolutions gives the scores of all maps, one the offsets. Boxes are `saccade.layers.boxes.decode`
    of the offsets with variances of 1, the loss is `saccade.losses.focal_detection_loss`; background is no class.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 2 or 3.
        channels: Widths of the ResNet's stages.
        blocks: Blocks of each stage.
        stem: Of the ResNet; ``small`` keeps the grid, for small objects.
        finest: Number of the finest stage, from 0, with a map in the pyramid; the paper's is 1.
        extra: Maps behind the coarsest stage.
        width: Channels of the pyramid and of both networks.
        depth: Convolutions of both networks before the last one.
        base: Side of an anchor in steps of its map.
        scales: See `pyramid_anchors`.
        ratios: See `pyramid_anchors`.
        attention: Factory from a number of channels to a module that stands behind the last convolution of both
            networks, seeing the map of each level: ``CBAM`` for one; None (default) for none.

    Raises:
        InputError: For numbers below 1, one dimension, or a finest stage that is not there.

    >>> network = RetinaNet(1, 3, channels=(4, 8, 8, 16), blocks=(1, 1, 1, 1), width=8, depth=1)
    >>> scores, offsets = network(torch.randn(1, 1, 128, 96))
    >>> scores.shape[1] == offsets.shape[1] == len(network.anchors((128, 96)))
    True
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
        finest: int = 1,
        extra: int = 2,
        width: int = 256,
        depth: int = 4,
        base: float | int = 4.0,
        scales: Sequence[float | int] = SCALES,
        ratios: Sequence[Sequence[float | int]] | None = None,
        attention: Attention = None,
    ) -> None:
        super().__init__()
        check_spatial_dims("RetinaNet", spatial_dims)
        refuse_below_one("RetinaNet", out_channels=out_channels, width=width)
        if spatial_dims == 1 or not 0 <= finest < len(channels):
            raise InputError(
                f"RetinaNet: must have 2 or 3 dimensions and a finest stage of 0 to {len(channels) - 1}, got "
                f"{spatial_dims} and {finest}."
            )
        backbone = ResNet(in_channels, 1, spatial_dims=spatial_dims, channels=channels, blocks=blocks, stem=stem)
        del backbone.fc
        self.backbone, self.finest = backbone, finest
        self.pyramid = FeaturePyramid(channels[finest:], width, extra=extra, spatial_dims=spatial_dims)
        first = 4 if stem == "imagenet" else 1
        self.strides = tuple(first * 2**level for level in range(finest, len(channels) + extra))
        self.base, self.scales, self.ratios = base, tuple(scales), list(ratios or proportions_of(spatial_dims))
        self.of_scores, self.of_boxes = (_tower(width, depth, spatial_dims, attention) for _ in range(2))
        each = len(self.scales) * len(self.ratios)
        self.head = AnchorHead(width, out_channels, each, spatial_dims=spatial_dims, bias=-log((1 - PRIOR) / PRIOR))
        parts: Any = [*self.of_scores, *self.of_boxes, self.head.scores, self.head.boxes]
        for part in parts:
            if isinstance(part, _ConvNd):
                nn.init.normal_(part.weight, std=0.01)
                if part is not self.head.scores and part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Float[Tensor, "b c *space"]) -> tuple[Float[Tensor, "b a classes"], Float[Tensor, "b a box"]]:
        maps = self.pyramid(self.backbone.levels(x)[self.finest :])
        scores = [self.head.by_anchor(self.head.scores(self.of_scores(y))) for y in maps]
        boxes = [self.head.by_anchor(self.head.boxes(self.of_boxes(y))) for y in maps]
        return torch.cat(scores, 1), torch.cat(boxes, 1)

    def anchors(self, shape: Sequence[int]) -> Float[Tensor, "a box"]:
        """Anchors in pixels, for an input of this shape (its axes in order)."""
        return pyramid_anchors(shape, strides=self.strides, base=self.base, scales=self.scales, ratios=self.ratios)


def _tower(width: int, depth: int, spatial_dims: int, attention: Attention) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [CONV[spatial_dims](width, width, 3, padding=1), nn.ReLU()]
    if attention is not None:
        layers.append(attention(width))
    return nn.Sequential(*layers)
