"""SonoNet: a fully convolutional classifier of ultrasound planes that tells where it found them.

Baumgartner et al., 2017, https://arxiv.org/abs/1612.05601.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.layers.convolution import ConvNormReLU, kaiming_initialise_
from saccade.layers.dimensions import BATCH_NORM, CONV, check_spatial_dims
from saccade.layers.norm import Norm
from saccade.layers.resample import resize
from saccade.networks.checks import refuse_below_one
from saccade.networks.conv_blocks import ConvBlocks


class SonoNet(nn.Module):
    """One score per class: the mean over positions of a map that tells of every class where it is.

    Blocks of 3x3 convolutions with maximum pooling by 2 between them, then a 1x1 convolution to half the channels and
    one to the classes. The widths (w, 2w, 4w, 8w, 8w) are SonoNet-w: 16, 32 and 64 in the paper.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each block.
        convolutions: Number of convolutions of each block: (2, 2, 3, 3, 3) in the paper; (3, 3, 3, 2, 2), the default,
            where SonoNet is held against `AGSonoNet`.
        norm: Behind the blocks' convolutions; see `saccade.layers.make_norm`. The two last have batch norm always.

    Raises:
        InputError: For numbers below 1, or blocks without a width or number of convolutions; in forward for an input
            that is too small (below 16 positions along an axis for five blocks).

    Differs from the paper: as the code of the attention-gated form, scores are no probabilities, and convolutions have
    biases.

    >>> import torch
    >>> SonoNet(1, 14, channels=(2, 4, 8, 16, 16))(torch.randn(2, 1, 48, 37)).shape
    torch.Size([2, 14])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128, 128),
        convolutions: Sequence[int] = (3, 3, 3, 2, 2),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        check_spatial_dims("SonoNet", spatial_dims)
        refuse_below_one("SonoNet", out_channels=out_channels)
        self.features = ConvBlocks(
            "SonoNet",
            in_channels,
            channels=channels,
            convolutions=convolutions,
            spatial_dims=spatial_dims,
            norm=norm,
        )
        half = max(channels[-1] // 2, 1)
        self.adapt = ConvNormReLU(channels[-1], half, spatial_dims=spatial_dims, kernel_size=1)
        self.classify = nn.Sequential(CONV[spatial_dims](half, out_channels, 1), BATCH_NORM[spatial_dims](out_channels))
        kaiming_initialise_(self)

    def class_maps(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes *coarse"]:
        """The score of every class at every position of the coarsest grid; their means are the class scores."""
        return self.classify(self.adapt(self.features(x)[-1]))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        return self.class_maps(x).flatten(2).mean(2)

    def localise(self, x: Float[Tensor, "b c *space"], target: int) -> dict[str, Float[Tensor, "b 1 *space"]]:
        """``CAM``: what is positive of the map of one class, on the input's grid, divided by its maximum.

        Args:
            x: Images.
            target: The class.
        """
        with torch.no_grad():
            return {"CAM": from_zero_to_one(resize(self.class_maps(x)[:, [target]], x.shape[2:]))}


def from_zero_to_one(y: Float[Tensor, "b 1 *space"]) -> Float[Tensor, "b 1 *space"]:
    """What is positive of each item's map, divided by its maximum."""
    y = y.clamp_min(0)
    return y / y.flatten(1).max(1).values.clamp_min(torch.finfo(y.dtype).tiny).reshape(-1, *[1] * (y.ndim - 1))
