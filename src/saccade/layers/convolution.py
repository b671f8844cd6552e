"""Convolution, normalisation, ReLU: once, and twice in a row as in every U-Net."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from saccade.layers.dimensions import CONV, per_axis
from saccade.layers.norm import Norm, make_norm


class ConvNormReLU(nn.Module):
    """``relu(norm(conv(x)))``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        spatial_dims: 1, 2 or 3.
        kernel_size: One number or one for each axis. Default 3.
        stride: Step of the convolution, one number or one for each axis.
        padding: Zeros added at both ends of each axis; None (default) keeps the size for an odd kernel at stride 1.
        norm: As `make_norm` takes it; None for no normalisation.

    >>> import torch
    >>> ConvNormReLU(1, 4, spatial_dims=2)(torch.zeros(1, 1, 5, 7)).shape
    torch.Size([1, 4, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | None = None,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        kernel = per_axis("ConvNormReLU", "kernel_size", kernel_size, spatial_dims)
        step = per_axis("ConvNormReLU", "stride", stride, spatial_dims)
        if padding is None:
            padding = tuple(k // 2 for k in kernel)
        margin = padding if isinstance(padding, int) else tuple(padding)
        self.conv = CONV[spatial_dims](in_channels, out_channels, kernel, step, margin)
        self.norm = make_norm(norm, out_channels, spatial_dims)
        self.activation = nn.ReLU()

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        return self.activation(self.norm(self.conv(x)))


class DoubleConv(nn.Module):
    """Two `ConvNormReLU` in a row, the step of every level of a U-Net (Ronneberger et al., 2015).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels after the first and after the second convolution.
        spatial_dims: 1, 2 or 3.
        kernel_size: Of both convolutions.
        stride: Of the first convolution alone.
        padding: Of both convolutions; see `ConvNormReLU`.
        norm: Of both convolutions; see `ConvNormReLU`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | None = None,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        first = ConvNormReLU(
            in_channels,
            out_channels,
            spatial_dims=spatial_dims,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            norm=norm,
        )
        second = ConvNormReLU(
            out_channels, out_channels, spatial_dims=spatial_dims, kernel_size=kernel_size, padding=padding, norm=norm
        )
        self.first, self.second = first, second

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space2"]:
        return self.second(self.first(x))


def kaiming_initialise_(network: nn.Module) -> None:
    """Start all convolutions from He et al.'s normal distribution (fan in), batch norm scales from N(1, 0.02).

    As the code published with Attention U-Net does; biases of convolutions keep PyTorch's start there and here.
    """
    for module in network.modules():
        if isinstance(module, _ConvNd):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, _BatchNorm) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
