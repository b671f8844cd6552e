"""Modules between the blocks of a residual network: where non-local blocks stand.

Wang et al., 2018, https://arxiv.org/abs/1711.07971, section 4.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from saccade.errors import InputError

Network = TypeVar("Network", bound=nn.Module)


def put_between(
    network: Network, make: Callable[[int], nn.Module], behind: Mapping[int, Sequence[int]] | None = None
) -> Network:
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
        InputError: For a stage or block that is not there, or that something stands behind already.

    >>> from saccade.attention import NonLocal
    >>> from saccade.networks import ResNet
    >>> network = put_between(ResNet(1, 3, channels=(4, 8), blocks=(2, 2)), NonLocal)
    >>> [name for name, _ in network.layer1.named_children()]
    ['0', '0_attention', '1']
    """
    stages = [layer for name, layer in network.named_children() if name.startswith("layer")]
    names = [[name for name, _ in stage.named_children() if name.isdigit()] for stage in stages]
    if behind is None:
        number = max(len(stages) - 1, 1)
        behind = {number: [max(len(names[number - 1]) - 2, 0)]}
    chosen: dict[int, set[str]] = {}
    for number, blocks in behind.items():
        if not 1 <= number <= len(stages):
            raise InputError(f"put_between: behind must name stages from 1 to {len(stages)}, got {number}.")
        there = names[number - 1]
        for block in blocks:
            if not -len(there) <= block < len(there):
                raise InputError(f"put_between: layer{number} has {len(there)} blocks, got block {block}.")
            if hasattr(stages[number - 1], f"{there[block]}_attention"):
                raise InputError(f"put_between: something stands behind layer{number}.{there[block]} already.")
        chosen[number] = {there[block] for block in blocks}
    for number, numbers in chosen.items():
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        part: Any
        for name, part in stages[number - 1].named_children():
            parts[name] = part
            if name in numbers:
                parts[f"{name}_attention"] = make(part.out_channels)
        setattr(network, f"layer{number}", nn.Sequential(parts))
    return network
