"""Residual blocks: what a few convolutions change is added to what goes in, with room for attention on the branch.

He et al., 2016, https://arxiv.org/abs/1512.03385.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.dimensions import BATCH_NORM, CONV, per_axis

# From a number of channels to a module that keeps them; None for no attention.
Attention = Callable[[int], nn.Module] | None
Axes = int | Sequence[int]


class ResidualBlock(nn.Module, ABC):
    """``relu(attention(branch(x)) + shortcut(x))``; what `BasicBlock` and `Bottleneck` share.

    The shortcut is the input itself, or a 1x1 convolution with batch norm where channels or the grid change. Attention
    stands behind the last normalisation of the branch, where squeeze-and-excitation, CBAM and ECA-Net have it.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        spatial_dims: 1, 2 or 3.
        stride: Step of the block, one number or one for each axis.
        attention: Factory from ``out_channels`` to the attention of the branch, or None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_dims: int = 2, stride: Axes = 1, attention: Attention
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.relu = nn.ReLU()
        self.attention = nn.Identity() if attention is None else attention(out_channels)
        step = per_axis(type(self).__name__, "stride", stride, spatial_dims)
        self.downsample: nn.Module = nn.Identity()
        if max(step) > 1 or in_channels != out_channels:
            conv = CONV[spatial_dims](in_channels, out_channels, 1, stride=step, bias=False)
            self.downsample = nn.Sequential(conv, BATCH_NORM[spatial_dims](out_channels))

    @abstractmethod
    def branch(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        """What the convolutions make of the input, before attention."""

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        return self.relu(self.attention(self.branch(x)) + self.downsample(x))


class BasicBlock(ResidualBlock):
    """Two convolutions with batch norm, a ReLU between them: the block of ResNet-18 and -34.

    Args:
        in_channels: Channels of the input.
        channels: Channels of both convolutions and of the output.
        spatial_dims: 1, 2 or 3.
        kernel_size: Odd, of both convolutions, one number or one for each axis.
        stride: Step of the first convolution, one number or one for each axis.
        attention: Factory from the output's channels to the attention of the branch, or None.

    >>> import torch
    >>> BasicBlock(4, 8, stride=2)(torch.randn(1, 4, 9, 7)).shape
    torch.Size([1, 8, 5, 4])
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_dims: int = 2,
        kernel_size: Axes = 3,
        stride: Axes = 1,
        attention: Attention = None,
    ) -> None:
        super().__init__(in_channels, channels, spatial_dims=spatial_dims, stride=stride, attention=attention)
        self.conv1 = _conv("BasicBlock", in_channels, channels, spatial_dims, kernel_size, stride)
        self.bn1 = BATCH_NORM[spatial_dims](channels)
        self.conv2 = _conv("BasicBlock", channels, channels, spatial_dims, kernel_size, 1)
        self.bn2 = BATCH_NORM[spatial_dims](channels)

    def branch(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        """What the convolutions make of the input, before attention."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(ResidualBlock):
    """1x1 down, 3x3, 1x1 up to four times the channels, each with batch norm: the block of ResNet-50 and deeper.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the inner convolution; the output has four times as many.
        spatial_dims: 1, 2 or 3.
        kernel_size: Odd, of the inner convolution, one number or one for each axis.
        stride: Step of the inner convolution, one number or one for each axis.
        attention: Factory from the output's channels to the attention of the branch, or None.

    Differs from the paper: the step is taken by the 3x3 rather than the first 1x1 convolution, as in torchvision.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_dims: int = 2,
        kernel_size: Axes = 3,
        stride: Axes = 1,
        attention: Attention = None,
    ) -> None:
        out = 4 * channels
        super().__init__(in_channels, out, spatial_dims=spatial_dims, stride=stride, attention=attention)
        self.conv1 = CONV[spatial_dims](in_channels, channels, 1, bias=False)
        self.bn1 = BATCH_NORM[spatial_dims](channels)
        self.conv2 = _conv("Bottleneck", channels, channels, spatial_dims, kernel_size, stride)
        self.bn2 = BATCH_NORM[spatial_dims](channels)
        self.conv3 = CONV[spatial_dims](channels, out, 1, bias=False)
        self.bn3 = BATCH_NORM[spatial_dims](out)

    def branch(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        """What the convolutions make of the input, before attention."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


def residual_stages(
    channels: Sequence[int],
    blocks: Sequence[int],
    *,
    spatial_dims: int,
    kernel_size: Axes = 3,
    step: Axes = 2,
    bottleneck: bool = False,
    attention: Attention = None,
) -> tuple[list[nn.Sequential], int]:
    """Stages of blocks behind a stem of ``channels[0]`` channels, and the channels that the last one gives.

    Args:
        channels: Inner width of each stage.
        blocks: Number of blocks of each stage.
        spatial_dims: 1, 2 or 3.
        kernel_size: See `BasicBlock`.
        step: Of the first block of every stage but the first, one number or one for each axis.
        bottleneck: Whether blocks are `Bottleneck` rather than `BasicBlock`.
        attention: See `ResidualBlock`.
    """
    make = Bottleneck if bottleneck else BasicBlock
    stages: list[nn.Sequential] = []
    width = channels[0]
    for inner, count in zip(channels, blocks, strict=True):
        stage = nn.Sequential()
        for i in range(count):
            block = make(
                width,
                inner,
                spatial_dims=spatial_dims,
                kernel_size=kernel_size,
                stride=step if stages and i == 0 else 1,
                attention=attention,
            )
            stage.append(block)
            width = block.out_channels
        stages.append(stage)
    return stages, width


def _conv(who: str, into: int, out: int, spatial_dims: int, kernel_size: Axes, stride: Axes) -> nn.Module:
    kernel = per_axis(who, "kernel_size", kernel_size, spatial_dims)
    step = per_axis(who, "stride", stride, spatial_dims)
    conv: nn.Module = CONV[spatial_dims](into, out, kernel, step, tuple(k // 2 for k in kernel), bias=False)
    return conv
