"""A network for images that classifies videos, with non-local blocks that see all frames at once.

Wang et al., 2018, https://arxiv.org/abs/1711.07971, section 4.
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.non_local import NonLocal
from saccade.errors import InputError, unknown_name
from saccade.networks.between_blocks import put_between
from saccade.networks.checks import refuse_below_one
from saccade.networks.residual import residual_stages
from saccade.networks.resnet import STEMS
from saccade.networks.start import start_convolutions_

IN_PLANE = (1, 3, 3)


class NonLocalC2D(nn.Module):
    """One score per class of a video (b, c, frames, height, width).

    A ResNet whose convolutions see one frame each. Frames meet in the non-local blocks, in maximum pooling over time
    (with the stem ``imagenet``), and in the mean at the end. Maps are recorded as ``layer3.1_attention.map`` and so on;
    ask for the rows of some positions with ``queries``.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        channels: Width of each stage (of a bottleneck: its inner width).
        blocks: Number of blocks of each stage. The default is ResNet-50's, the paper's.
        bottleneck: Whether blocks are `Bottleneck` rather than `BasicBlock`.
        stem: ``imagenet`` (as in the paper: a 7x7 convolution that steps by 2 in space and time, maximum pooling of
            3x3x3 by 2, and of 3 frames by 2 behind the first stage) or ``small``: a 3x3 convolution that keeps the
            grid and all frames.
        behind: Number of a stage (1 for ``layer1``) -> numbers of the blocks that a non-local block stands behind; see
            `put_between`. Default None: see `places_of_the_paper`; none at all is ``{}``.
        pairwise: The form of the non-local blocks, whose keys are pooled by 2 in space; see
            `saccade.attention.NonLocal`.

    Raises:
        InputError: For numbers below 1, stages without a width or number of blocks, an unknown stem or form, or a stage
            or block that is not there.

    Differs from the paper: no dropout before the last layer.

    >>> import torch
    >>> net = NonLocalC2D(1, 3, channels=(4, 8), blocks=(1, 2), bottleneck=False, stem="small")
    >>> net(torch.randn(2, 1, 5, 16, 12)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (3, 4, 6, 3),
        bottleneck: bool = True,
        stem: str = "imagenet",
        behind: Mapping[int, Sequence[int]] | None = None,
        pairwise: str = "embedded_gaussian",
    ) -> None:
        super().__init__()
        refuse_below_one(
            "NonLocalC2D", in_channels=in_channels, out_channels=out_channels, channels=channels, blocks=blocks
        )
        if len(channels) != len(blocks):
            raise InputError(
                f"NonLocalC2D: channels and blocks must name the same stages, got {len(channels)} and {len(blocks)}."
            )
        if stem not in STEMS:
            raise unknown_name("NonLocalC2D", "stem", stem, list(STEMS))
        large = stem == "imagenet"
        kernel, step, margin = ((1, 7, 7), 2, (0, 3, 3)) if large else (IN_PLANE, 1, (0, 1, 1))
        self.conv1 = nn.Conv3d(in_channels, channels[0], kernel, step, margin, bias=False)
        self.bn1 = nn.BatchNorm3d(channels[0])
        self.relu = nn.ReLU()
        self.maxpool: nn.Module = nn.MaxPool3d(3, stride=2, padding=1) if large else nn.Identity()
        self.pool_frames: nn.Module = (
            nn.MaxPool3d((3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)) if large else nn.Identity()
        )
        stages, width = residual_stages(
            channels, blocks, spatial_dims=3, kernel_size=IN_PLANE, step=(1, 2, 2), bottleneck=bottleneck
        )
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"layer{number}", stage)
        self.stages = len(stages)
        self.fc = nn.Linear(width, out_channels)
        start_convolutions_(self)
        behind = places_of_the_paper(blocks) if behind is None else behind
        put_between(self, lambda c: NonLocal(c, pairwise=pairwise, subsample=True, spatial_dims=3), behind)

    def levels(self, x: Float[Tensor, "b c t h w"]) -> list[Tensor]:
        """The map that each stage gives, finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        found = []
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
            found.append(x)
            x = self.pool_frames(x) if number == 1 else x
        return found

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b classes"]:
        return self.fc(self.levels(x)[-1].flatten(2).mean(2))


def places_of_the_paper(blocks: Sequence[int]) -> dict[int, list[int]]:
    """Where non-local blocks stand: behind every other block of the second and the third stage.

    Where these have one block each, as the paper's have not: behind the second stage's (or the only stage's).

    >>> places_of_the_paper((3, 4, 6, 3)), places_of_the_paper((1, 1, 1))
    ({2: [1, 3], 3: [1, 3, 5]}, {2: [0]})
    """
    places = {stage: list(range(1, n, 2)) for stage, n in enumerate(blocks, start=1) if stage in (2, 3) and n > 1}
    return places or {min(2, len(blocks)): [0]}
