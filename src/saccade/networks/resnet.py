"""Residual networks for classification and regression, with or without attention in every block.

He et al., 2016, https://arxiv.org/abs/1512.03385.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import BATCH_NORM, CONV, MAX_POOL, check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.residual import Attention, residual_stages
from saccade.networks.start import start_convolutions_

STEMS = ("imagenet", "small")


class ResNet(nn.Module):
    """One score per class from stages of residual blocks and the mean over all positions.

    Each stage but the first halves the grid. With ``blocks`` (2, 2, 2, 2) ResNet-18, (3, 4, 6, 3) ResNet-34, and with
    bottlenecks (3, 4, 6, 3) ResNet-50, (3, 4, 23, 3) ResNet-101, (3, 8, 36, 3) ResNet-152. Parts have torchvision's
    names (``conv1``, ``layer1.0.conv1``, ``fc``), so that its weights and timm's load: see `saccade.load_reference`.
    Any input size is taken.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        channels: Width of each stage (of a bottleneck: its inner width).
        blocks: Number of blocks of each stage.
        bottleneck: Whether blocks are `Bottleneck` rather than `BasicBlock`.
        stem: ``imagenet`` (a 7x7 convolution of step 2, then maximum pooling by 2) or ``small``: a 3x3 convolution that
            keeps the grid, for inputs below some 64 pixels.
        attention: Factory from a number of channels to a module, put into every block behind the last normalisation of
            its branch: ``SqueezeExcitation`` makes this an SE-ResNet. None (default) for none.

    Raises:
        InputError: For numbers below 1, stages without a width or number of blocks, or an unknown stem.

    Differs from the paper: the step of a bottleneck is taken by its 3x3 convolution, as in torchvision.

    >>> import torch
    >>> ResNet(1, 5, spatial_dims=3, channels=(4, 8), blocks=(1, 1))(torch.randn(2, 1, 19, 13, 11)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        stem: str = "imagenet",
        attention: Attention = None,
    ) -> None:
        super().__init__()
        check_spatial_dims("ResNet", spatial_dims)
        refuse_below_one("ResNet", in_channels=in_channels, out_channels=out_channels, channels=channels, blocks=blocks)
        if len(channels) != len(blocks):
            raise InputError(
                f"ResNet: channels and blocks must name the same stages, got {len(channels)} and {len(blocks)}."
            )
        if stem not in STEMS:
            raise unknown_name("ResNet", "stem", stem, list(STEMS))
        kernel, step = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = CONV[spatial_dims](in_channels, channels[0], kernel, step, kernel // 2, bias=False)
        self.bn1 = BATCH_NORM[spatial_dims](channels[0])
        self.relu = nn.ReLU()
        self.maxpool = MAX_POOL[spatial_dims](3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        stages, width = residual_stages(
            channels, blocks, spatial_dims=spatial_dims, bottleneck=bottleneck, attention=attention
        )
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"layer{number}", stage)
        self.stages = len(stages)
        self.fc = nn.Linear(width, out_channels)
        start_convolutions_(self)

    def levels(self, x: Float[Tensor, "b c *space"]) -> list[Tensor]:
        """The map that each stage gives, finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        found = []
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
            found.append(x)
        return found

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        return self.fc(self.levels(x)[-1].flatten(2).mean(2))
