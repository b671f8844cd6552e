"""Modules between the blocks of a residual network: where non-local blocks stand.

Wang et al., 2018, https://arxiv.org/abs/1711.07971, section 4.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from saccade.errors import InputError


def put_between(
    network: nn.Module, make: Callable[[int], nn.Module], behind: Mapping[int, Sequence[int]] | None = None
) -> nn.Module:
    """Put a module behind some blocks of a residual network.

    Names and weights that the network had stay: behind ``layer3.4`` comes ``layer3.4_attention``. A `NonLocal` gives
    back its input at first, so that it may be put into a network that is trained.

    Args:
        network: A `ResNet`, or another network of stages ``layer1``, ``layer2``, ... of its blocks; changed in place.
        make: Factory from the channels of a block's output to the module behind it.
        behind: Number of a stage (1 for ``layer1``) -> numbers of blocks in it, from 0, or from -1 at its end. Default
            None: behind the last block but one of the last stage but one, where the paper has a single non-local block
            (of a stage of one block: behind that).

    Returns:
        The network itself.

    Raises:
        InputError: For a stage or block that is not there.

    >>> from saccade.attention import NonLocal
    >>> from saccade.networks import ResNet
    >>> network = put_between(ResNet(1, 3, channels=(4, 8), blocks=(2, 2)), NonLocal)
    >>> [name for name, _ in network.layer1.named_children()]
    ['0', '0_attention', '1']
    """
    layers: Any = [layer for name, layer in network.named_children() if name.startswith("layer")]
    if behind is None:
        stage = max(len(layers) - 1, 1)
        behind = {stage: [max(len(layers[stage - 1]) - 2, 0)]}
    for number, blocks in behind.items():
        if not 1 <= number <= len(layers):
            raise InputError(f"put_between: behind must name stages from 1 to {len(layers)}, got {number}.")
        layer = layers[number - 1]
        count = len(layer)
        for block in blocks:
            if not -count <= block < count:
                raise InputError(f"put_between: layer{number} has {count} blocks, got block {block}.")
        chosen = {block % count for block in blocks}
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for i, block in enumerate(layer):
            parts[str(i)] = block
            if i in chosen:
                parts[f"{i}_attention"] = make(block.out_channels)
        setattr(network, f"layer{number}", nn.Sequential(parts))
    return network
