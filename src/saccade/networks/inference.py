"""The same network rearranged for inference: fewer passes over memory, equal results up to rounding."""

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from saccade.layers.convolution import ConvNormReLU
from saccade.networks.unet import DecoderLevel, DeepSupervision, UNet

MEMORY_FORMAT = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the dimensions of a convolution's weight


def for_inference(network: nn.Module) -> nn.Module:
    """A copy of a network that gives the same outputs sooner; the network itself is left as it is.

    Batch norm becomes part of the convolution before it, ReLUs after convolutions work in place, decoder levels of a
    `UNet` convolve the skip and what comes from below apart instead of copying both into one map, and deep supervision
    mixes classes before it interpolates them (both are linear, so their order does not matter). Weights lie channels
    last. Parts that it does not know stay as they are. Attention maps keep their names under `saccade.record`;
    gradients by layer are to be taken from the network itself.

    Args:
        network: Any module; the copy is in evaluation mode.

    >>> x = torch.randn(1, 1, 16, 16, 16)
    >>> network = UNet(1, 3, channels=(4, 8)).eval()
    >>> torch.allclose(for_inference(network)(x), network(x), atol=1e-5)
    True
    """
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        if isinstance(module, ConvNormReLU):
            _fold(module, "conv", "norm")
            if isinstance(module.activation, nn.ReLU):
                module.activation.inplace = True
        elif type(module).forward is nn.Sequential.forward:  # else its parts may run in another order
            for first, second in itertools.pairwise(list(module._modules)):
                _fold(module, first, second)
    for module in list(network.modules()):  # what has been folded by now
        if isinstance(module, UNet):
            levels: Any = zip(module.encoder, module.decoder, strict=True)
            for level, (encoder, decoder) in enumerate(list(levels)):
                module.decoder[level] = SplitDecoderLevel(decoder, encoder.second.conv.out_channels)
            if isinstance(module.head, DeepSupervision):
                module.head = MixedSupervision(module.head)
    for parameter in network.parameters():
        if parameter.ndim in MEMORY_FORMAT:
            parameter.data = parameter.data.contiguous(memory_format=MEMORY_FORMAT[parameter.ndim])
    return network


class SplitDecoderLevel(nn.Module):
    """`DecoderLevel` without the concatenation: ``conv([skip, up]) = conv_1(skip) + conv_2(up)``.

    Args:
        level: The level that it stands for.
        skip_channels: Channels of the skip.
    """

    def __init__(self, level: DecoderLevel, skip_channels: int) -> None:
        super().__init__()
        conv: Any = level.conv  # a `DoubleConv`
        self.up, first, self.second = level.up, conv.first, conv.second
        self.of_skip, self.of_low = copy.deepcopy(first.conv), copy.deepcopy(first.conv)
        self.of_skip.weight = nn.Parameter(first.conv.weight[:, :skip_channels].detach())
        self.of_low.weight = nn.Parameter(first.conv.weight[:, skip_channels:].detach())
        self.of_skip.bias = None
        self.norm, self.activation = first.norm, first.activation

    def forward(
        self, skip: Float[Tensor, "b c *space"], low: Float[Tensor, "b c2 *coarse"]
    ) -> Float[Tensor, "b c3 *space"]:
        y = self.of_low(self.up(low, skip.shape[2:]))
        y += self.of_skip(skip)
        return self.second(self.activation(self.norm(y)))


class MixedSupervision(nn.Module):
    """`DeepSupervision` whose last 1x1 convolution is part of those before it, on each level's own coarse grid.

    Args:
        head: The head that it stands for.
    """

    def __init__(self, head: DeepSupervision) -> None:
        super().__init__()
        self.rise, self.classify = head.rise, nn.ModuleList()
        mix = head.mix.weight.detach().flatten(1).chunk(len(head.classify), 1)
        classify: Any
        for level, (classify, block) in enumerate(zip(head.classify, mix, strict=True)):
            conv = copy.deepcopy(classify)
            weight, bias = classify.weight.detach(), classify.bias.detach()
            conv.weight = nn.Parameter((block @ weight.flatten(1)).reshape(weight.shape))
            conv.bias = nn.Parameter(block @ bias + (head.mix.bias.detach() if level == 0 else 0))
            self.classify.append(conv)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        total = self.classify[0](levels[0])
        for conv, rise, x in zip(list(self.classify)[1:], self.rise, levels[1:], strict=True):
            total += rise(conv(x), total.shape[2:])
        return total


def _fold(parent: nn.Module, first: str, second: str) -> None:
    """Put the batch norm ``second`` into the convolution ``first``, if they are that."""
    conv, norm = getattr(parent, first), getattr(parent, second)
    foldable = isinstance(norm, _BatchNorm) and norm.track_running_stats
    if foldable and isinstance(conv, _ConvNd):
        setattr(parent, first, fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, _ConvTransposeNd)))
        setattr(parent, second, nn.Identity())
