"""A U-Net whose encoder holds non-local blocks.

The network ``unet_nonlocal_3D`` of the code published with Attention U-Net (Oktay et al., 2018,
https://arxiv.org/abs/1804.03999); the blocks are those of Wang et al., 2018, https://arxiv.org/abs/1711.07971.
"""

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.non_local import NonLocal
from saccade.errors import InputError
from saccade.layers.norm import Norm
from saccade.layers.resample import Upsampling
from saccade.networks.unet import Pooling, UNet


class NonLocalUNet(UNet):
    """A U-Net in which some encoder levels end in a block that sees the whole image at once.

    What the block gives goes down to the next level and along the skip connection. Class scores come from the finest
    decoder level alone.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each level; see `saccade.networks.UNet`.
        pooling: See `saccade.networks.UNet`.
        norm: See `saccade.networks.UNet`.
        upsampling: See `saccade.networks.UNet`.
        blocks: Number of a level (0 is the finest) -> factory from its number of channels to the block behind it.
            Default None: as published, at levels 1 and 2 a `NonLocal` with a quarter of the channels inside and keys
            pooled by 4.

    Raises:
        InputError: As `UNet`, and for a level that the encoder does not have.

    >>> import torch
    >>> NonLocalUNet(1, 4, channels=(4, 8, 16, 32))(torch.randn(1, 1, 13, 11, 7)).shape
    torch.Size([1, 4, 13, 11, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        pooling: Pooling = 2,
        norm: Norm = "batch",
        upsampling: str | Upsampling = "linear",
        blocks: Mapping[int, Callable[[int], nn.Module]] | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            spatial_dims=spatial_dims,
            channels=channels,
            pooling=pooling,
            deep_supervision=False,
            norm=norm,
            upsampling=upsampling,
        )

        def published(width: int) -> nn.Module:
            return NonLocal(width, inner_channels=max(width // 4, 1), subsample=4, spatial_dims=spatial_dims)

        factories = {1: published, 2: published} if blocks is None else blocks
        for level in factories:
            if not 0 <= level < len(channels) - 1:
                raise InputError(f"NonLocalUNet: blocks must be at levels 0 to {len(channels) - 2}, got {level}.")
        self.blocks = nn.ModuleDict({str(level): factory(channels[level]) for level, factory in factories.items()})

    def encode(self, x: Float[Tensor, "b c *space"]) -> tuple[list[Tensor], Tensor]:
        """The map that each level hands to the decoder, finest first, and the one at the bottom."""
        skips = []
        for i, (level, pool) in enumerate(zip(self.encoder, self.pools, strict=True)):
            x = level(x)
            if str(i) in self.blocks:
                x = self.blocks[str(i)](x)
            skips.append(x)
            x = pool(x)
        return skips, self.bottom(x)
