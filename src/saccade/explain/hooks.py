"""Listening to a network, and changing what its layers give, without leaving a trace in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import InputError

Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}  # interpolation by the number of spatial axes


def unwrapped(network: nn.Module) -> nn.Module:
    """The module itself, without a compiler's or a data parallel wrapper: all share its weights."""
    while True:
        if hasattr(network, "_orig_mod"):
            network = network._orig_mod  # type: ignore[assignment]
        elif isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        else:
            return network


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[nn.Module]:
    """A network ready to be explained: in evaluation mode, with gradients, as it is written where it was compiled.

    Afterwards, also after an exception, every module is in the mode in which it was.

    Yields:
        The module itself, see `unwrapped`.
    """
    module = unwrapped(network)
    parts = list(module.modules())
    with ExitStack() as stack:
        for part in (*network.modules(), *parts):
            stack.callback(setattr, part, "training", part.training)
        if any(hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) for part in parts):
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code hears no new hooks
        # The fused layers of transformers pass by the hooks of their parts.
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if any(isinstance(part, nn.RNNBase) for part in parts):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # whose RNNs have no gradient in eval mode
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        module.eval()
        yield module


@contextmanager
def hooked(module: nn.Module, hook: Hook) -> Iterator[None]:
    """A forward hook for as long as the block lasts."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def run_quietly(network: nn.Module, x: Tensor) -> Any:
    """The network's output in evaluation mode, without gradients; the network is left as it was."""
    with undisturbed(network) as module, torch.no_grad():
        return module(x.clone())


def check_input(network: nn.Module, x: Tensor, who: str) -> None:
    """Refuse what no map can be made for.

    Raises:
        InputError: If ``x`` is no batch with 1 to 3 spatial axes, or has no numbers that a gradient can be taken of.
    """
    if not isinstance(network, nn.Module):
        raise InputError(f"{who}: the network must be a torch.nn.Module, got {type(network).__name__}.")
    if x.ndim not in (3, 4, 5):
        raise InputError(
            f"{who}: x must be a batch (b, c, *space) with 1 to 3 spatial axes, got shape {tuple(x.shape)}."
        )
    if not x.is_floating_point() or x.numel() == 0:
        raise InputError(f"{who}: x must hold floating-point numbers, got {tuple(x.shape)} of {x.dtype}.")


@dataclass(frozen=True)
class Responses:
    """What a layer gave, and how the score changes with it.

    Attributes:
        activations: A, the layer's output.
        gradients: dy/dA at every position.
        scores: y of each item.
    """

    activations: Float[Tensor, "b k *grid"]
    gradients: Float[Tensor, "b k *grid"]
    scores: Float[Tensor, "b"]


class _Leaf:
    """Hook that cuts the graph at a layer: what follows in the network depends on a copy of the layer's output.

    The copy that is handed on may be changed in place by what follows, the leaf may not. Of a layer that runs several
    times in a pass, the last time counts.
    """

    def __init__(self, who: str, name: str, like: Tensor) -> None:
        self.who, self.name, self.like = who, name, like
        self.calls, self.tensor = 0, torch.empty(0)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor:
        self.calls += 1
        self.tensor = checked_map(output, self.like, self.who, self.name).detach().clone().requires_grad_()
        return self.tensor.clone()

    def check_heard(self) -> None:
        """Raises InputError if the layer has not run."""
        if self.calls == 0:
            raise InputError(f"{self.who}: layer '{self.name}' does not run when the network does. Name another layer.")


def checked_map(output: Any, x: Tensor, who: str, name: str) -> Tensor:
    """A layer's output, if it is a feature map of this batch.

    Raises:
        InputError: If it is not (b, k, *grid) with as many axes as ``x``.
    """
    fits = isinstance(output, Tensor) and output.ndim == x.ndim and output.shape[0] == x.shape[0]
    if not fits or not output.is_floating_point():
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"{who}: layer '{name}' must give feature maps (b, k, *grid) with {x.ndim - 2} spatial axes for each of "
            f"the {x.shape[0]} items, it gives {shape}."
        )
    return output


def responses(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    layer: tuple[str, nn.Module],
    score: Callable[[Any], Tensor],
    who: str,
) -> Responses:
    """Activations of a layer and the gradients of a score with respect to them, in one pass forth and one back.

    Gradients of parameters are neither computed nor touched, and frozen parameters do not matter.

    Raises:
        InputError: If the layer gives no feature maps, or the score does not depend on it in a differentiable way.
    """
    name, part = layer
    leaf = _Leaf(who, name, x)
    with undisturbed(network) as module:
        with hooked(part, leaf):
            scores = score(module(x.clone()))
        leaf.check_heard()
        gradient = gradient_of(scores, leaf.tensor, f"{who}: target does not depend on layer '{name}'")
    return Responses(precise(leaf.tensor), precise(gradient), precise(scores))


def gradient_of(scores: Float[Tensor, "b"], tensor: Tensor, complaint: str) -> Tensor:
    """The gradient of the scores with respect to a tensor.

    Raises:
        InputError: If there is none.
    """
    found = torch.autograd.grad(scores.sum(), tensor, allow_unused=True)[0] if scores.requires_grad else None
    if found is None:
        raise InputError(f"{complaint} in a differentiable way.")
    return found


def layer_output(
    network: nn.Module, x: Float[Tensor, "b c *space"], layer: tuple[str, nn.Module], who: str
) -> tuple[Tensor, int, Any]:
    """A layer's output, how often it ran, and the network's output; to be called in `undisturbed`."""
    name, part = layer
    leaf = _Leaf(who, name, x)
    with torch.no_grad(), hooked(part, leaf):
        output = network(x.clone())
    leaf.check_heard()
    return leaf.tensor.detach(), leaf.calls, output


def precise(tensor: Tensor) -> Tensor:
    """Without its graph and in at least single precision."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def on_grid(
    values: Float[Tensor, "b *grid"], x: Float[Tensor, "b c *space"], resize: bool
) -> Float[Tensor, "b *wanted"]:
    """A map on the input's grid by linear interpolation between voxel centres (outer faces stay), if that is wanted."""
    if not resize or values.shape[1:] == x.shape[2:]:
        return values
    mode = LINEAR[x.ndim - 2]
    return F.interpolate(values[:, None], size=x.shape[2:], mode=mode, align_corners=False)[:, 0]
