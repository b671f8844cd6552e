"""Which layer of a network is explained: by name, as a module, or the last convolution."""

from collections.abc import Callable
from contextlib import ExitStack
from difflib import SequenceMatcher
from math import prod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from saccade.errors import InputError
from saccade.explain.hooks import check_input, undisturbed, unwrapped

Layer = str | nn.Module
LISTED = 40  # names that an error tells


def layer_names(network: nn.Module) -> list[str]:
    """The names by which a network's layers can be given, in the order in which they were registered."""
    return [_plain(name) for name, _ in unwrapped(network).named_modules() if _plain(name)]


def choose_layer(
    network: nn.Module, x: Float[Tensor, "b c *space"], layer: Layer | None, who: str
) -> tuple[str, nn.Module]:
    """The layer that is meant, with its name; without one, the last convolution that runs.

    Raises:
        InputError: If ``x`` is no batch of signals, images or volumes, the name is none of the network's or a pattern,
            or there is no convolution.
    """
    check_input(network, x, who)
    return last_convolution(network, x, who) if layer is None else find_layer(network, layer, who)


def find_layer(network: nn.Module, layer: Layer, who: str) -> tuple[str, nn.Module]:
    """A layer by its name, or a module of the network with its name.

    Raises:
        InputError: If it is none of the network's; names the layers, the nearest first.
    """
    known = {_plain(name): module for name, module in unwrapped(network).named_modules() if _plain(name)}
    if isinstance(layer, nn.Module):
        for name, module in known.items():
            if module is layer or module is unwrapped(layer):
                return name, module
        raise InputError(f"{who}: layer must be a module of the network, got another {type(layer).__name__}.")
    if layer in known:
        return layer, known[layer]
    what = "names one layer, patterns are not taken" if set(layer) & set("*?[") else "is no layer of the network"
    names = sorted(known, key=lambda name: -SequenceMatcher(None, layer, name).ratio())
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    raise InputError(f"{who}: layer '{layer}' {what}. Layers: {', '.join(names[:LISTED])}{more}.")


def last_convolution(network: nn.Module, x: Float[Tensor, "b c *space"], who: str) -> tuple[str, nn.Module]:
    """The convolution that runs last and gives more than one position per channel, found by running the network once.

    Of a network whose output is itself a map (segmentation), the convolutions that make class scores are passed over:
    the last one, and 1x1 convolutions to as many channels as there are classes.

    Raises:
        InputError: If no convolution runs.
    """
    ran: list[_Run] = []
    latest: list[Tensor] = []

    def listener(name: str) -> Callable[..., None]:
        def listen(module: _ConvNd, args: tuple[Any, ...], output: Tensor) -> None:
            ran.append(_Run(name, module, tuple(output.shape)))
            latest[:] = [output]

        return listen

    with ExitStack() as stack:
        module = stack.enter_context(undisturbed(network))
        stack.enter_context(torch.no_grad())
        for name, part in module.named_modules():
            if isinstance(part, _ConvNd):
                stack.callback(part.register_forward_hook(listener(_plain(name))).remove)
        output = module(x.clone())
    maps = [run for run in ran if len(run.shape) == x.ndim]
    if not maps:
        raise InputError(
            f"{who}: no convolution over {x.ndim - 2} axes runs in this network. Use input_gradient or occlusion, "
            "which need none, or name a layer that gives feature maps: "
            f"{', '.join(layer_names(network)[:LISTED]) or 'it has none'}."
        )
    chosen = [run for run in maps if prod(run.shape[2:]) > 1] or maps
    if isinstance(output, Tensor) and output.ndim == x.ndim and prod(output.shape[2:]) > 1:
        makes_output = latest[0].shape == output.shape and torch.equal(latest[0], output)
        before = chosen[:-1] if makes_output else chosen
        chosen = [run for run in before if not run.classifies(output.shape[1])] or chosen
    return chosen[-1].name, chosen[-1].module


class _Run(NamedTuple):
    """One call of a convolution, and the shape of what it gave."""

    name: str
    module: _ConvNd
    shape: tuple[int, ...]

    def classifies(self, classes: int) -> bool:
        """Whether it mixes channels into one per class, position by position."""
        return self.shape[1] == classes and set(self.module.kernel_size) == {1}


def _plain(name: str) -> str:
    """A module's name without the parts that a compiler puts in."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
