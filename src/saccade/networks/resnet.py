"""Residual networks for classification and regression, with or without attention in every block.

He et al., 2016, https://arxiv.org/abs/1512.03385.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import BATCH_NORM, CONV, MAX_POOL, check_spatial_dims
from saccade.networks.residual import Attention, BasicBlock, Bottleneck

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
        for name, numbers in {
            "in_channels": [in_channels],
            "out_channels": [out_channels],
            "channels": channels,
            "blocks": blocks,
        }.items():
            if any(n < 1 for n in numbers):
                raise InputError(f"ResNet: {name} must be at least 1, got {', '.join(map(str, numbers))}.")
        if not channels or len(channels) != len(blocks):
            raise InputError(
                f"ResNet: channels and blocks must name the same stages, at least one, got {len(channels)} and "
                f"{len(blocks)}."
            )
        if stem not in STEMS:
            raise unknown_name("ResNet", "stem", stem, list(STEMS))
        kernel, step = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = CONV[spatial_dims](in_channels, channels[0], kernel, step, kernel // 2, bias=False)
        self.bn1 = BATCH_NORM[spatial_dims](channels[0])
        self.relu = nn.ReLU()
        self.maxpool = MAX_POOL[spatial_dims](3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        block = Bottleneck if bottleneck else BasicBlock
        width = channels[0]
        self.stages = len(blocks)
        for number, (inner, count) in enumerate(zip(channels, blocks, strict=True), start=1):
            stage = nn.Sequential()
            for i in range(count):
                stride = 2 if i == 0 and number > 1 else 1
                stage.append(block(width, inner, spatial_dims=spatial_dims, stride=stride, attention=attention))
                width = block.expansion * inner
            self.add_module(f"layer{number}", stage)
        self.fc = nn.Linear(width, out_channels)
        start_residual_(self)

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


def start_residual_(network: nn.Module) -> None:
    """Start the convolutions of residual blocks and stem from He et al.'s normal distribution (fan out).

    Those of attention inside the blocks keep the start that their own papers give them.
    """
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd) and "attention" not in name.split("."):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
