"""Channel attention without a bottleneck: a short convolution along the channels.

Efficient Channel Attention: Wang et al., 2020, https://arxiv.org/abs/1910.03151.
"""

from math import log2

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.squeeze import over_space
from saccade.attention.tap import Tap
from saccade.errors import InputError


class EfficientChannelAttention(nn.Module):
    """Multiply every channel by a number in (0, 1) computed from its own mean and those of its neighbours in order.

    ``y = means over positions``, ``w = sigmoid(C1D_k(y))`` (eq. 9), output ``w x``. The ends of the row of channels
    are continued by zeros. One module serves signals, images and volumes.

    Args:
        channels: Channels of the input and of the output.
        kernel_size: The paper's k, odd. Default None: `adaptive_kernel_size` from the number of channels.
        gamma: The paper's gamma, 2; used when ``kernel_size`` is None.
        offset: The paper's b, 1; used when ``kernel_size`` is None.
        shared: Whether all channels share one kernel (default: ECA) or each has its own (ECA-NS).

    Raises:
        InputError: For ``channels`` below 1, an even kernel or one below 1, or ``gamma`` of 0 or below.

    Differs from the paper: its printed snippet leaves out the sigmoid, which its text and released code have.

    >>> EfficientChannelAttention(64)(torch.randn(2, 64, 5, 7, 3)).shape
    torch.Size([2, 64, 5, 7, 3])
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = None,
        gamma: float = 2.0,
        offset: float = 1.0,
        shared: bool = True,
    ) -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"EfficientChannelAttention: channels must be at least 1, got {channels}.")
        if gamma <= 0:
            raise InputError(f"EfficientChannelAttention: gamma must be above 0, got {gamma}.")
        k = adaptive_kernel_size(channels, gamma, offset) if kernel_size is None else kernel_size
        if k < 1 or k % 2 == 0:
            raise InputError(f"EfficientChannelAttention: kernel_size must be an odd number of at least 1, got {k}.")
        self.kernel_size, self.shared = k, shared
        kernels = 1 if shared else channels
        self.conv = nn.Conv1d(kernels, kernels, k, groups=kernels, bias=False)
        self.map = Tap("channel")

    def gate(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        """The attention itself: one weight per item and channel."""
        y = F.pad(x.flatten(2).mean(2), [self.kernel_size // 2] * 2)
        if self.shared:
            return torch.sigmoid(self.conv(y[:, None])[:, 0])
        return torch.sigmoid(self.conv(y.unfold(1, self.kernel_size, 1))[:, :, 0])

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return x * over_space(self.map(self.gate(x)), x)


def adaptive_kernel_size(channels: int, gamma: float = 2.0, offset: float = 1.0) -> int:
    """How many neighbouring channels look at each other: ``|log2(C) / gamma + b / gamma|`` made odd (eq. 12).

    Cut off to a whole number, then raised by one if even, as in the paper's snippet.

    >>> [adaptive_kernel_size(channels) for channels in (16, 64, 128, 1024, 2048)]
    [3, 3, 5, 5, 7]
    """
    t = int(abs((log2(channels) + offset) / gamma))
    return t if t % 2 else t + 1
