"""CAM: the weights of the classifier, applied to the feature maps that global average pooling gets."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saccade.errors import InputError
from saccade.explain.hooks import Hook, check_input, checked_map, hooked, on_grid, precise, undisturbed
from saccade.explain.layers import Layer, find_layer
from saccade.explain.targets import Score, Target, class_number

_MEANS = {f"{kind}avg_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3)} | {"mean"}
_TOLERANCE = 1e-4  # relative; a mean taken in another order differs by less


def cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """What each position contributes to a class, in a network that ends in global average pooling and a linear layer.

    ``M_c(i) = sum_k w_k^c f_k(i)``, so that the mean of the map is the class's score without its bias.

    Source: Zhou et al., 2016, https://arxiv.org/abs/1512.04150, eq. 2. Differs from the paper: none; the pooling takes
    the mean, as in all current networks, where the paper's formulas have the sum. A network whose scores are
    themselves the means of maps (a 1x1 convolution before the pooling) has these maps as its CAM.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: A class number, or one for each item; no function, since the weights of a class are taken.
        layer: Name of the layer whose output is pooled, or the module; default what the last global average pooling
            gets.
        resize: Whether the map is brought to the grid of ``x`` (linear interpolation); else it lies on the layer's.

    Returns:
        A map for each item, signed, in units of the score.

    Raises:
        InputError: If the network does not end that way, or the layer, the target or ``x`` cannot be used.

    >>> network = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> cam(network, torch.randn(2, 1, 19), target=1).shape
    torch.Size([2, 19])
    """
    check_input(network, x, "cam")
    classes = _classes(target, len(x))
    chosen = None if layer is None else find_layer(network, layer, "cam")
    head = _Head(x)
    with ExitStack() as stack:
        module = stack.enter_context(undisturbed(network))
        stack.enter_context(torch.no_grad())
        stack.enter_context(head)
        if chosen is not None:
            stack.enter_context(hooked(chosen[1], head.listen_to(chosen[0])))
        output = module(x.clone())
    weights, scores, features = head.read(output)
    Score(classes, len(x), "cam")(scores)  # refuses a class that is none
    of_class = weights[classes].reshape(*features.shape[:2], *[1] * (x.ndim - 2))
    return on_grid((precise(of_class) * precise(features)).sum(1), x, resize)


def _classes(target: Any, items: int) -> list[int]:
    several = isinstance(target, Sequence) or (isinstance(target, Tensor | np.ndarray) and target.ndim > 0)
    each = list(target) if several else [target] * items
    if any(callable(one) and not hasattr(one, "__index__") for one in each):
        raise InputError("cam: target must be a class, whose weights are taken, got a function. Use grad_cam.")
    return [class_number(one, "cam") for one in each]


class _Head(TorchFunctionMode):
    """Hears what the end of a network computes: the last mean over feature maps, and the last linear layer.

    Functions are heard, not modules, so that it does not matter which of them a network is written with.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._x = x
        self._fixed = ""  # name of the layer that was chosen by the user
        self._pooled: Tensor | None = None
        self._linear: tuple[Tensor, Tensor, Tensor] | None = None  # input, weight, output

    def listen_to(self, name: str) -> Hook:
        """A hook for the layer whose output is what is pooled."""
        self._fixed = name

        def listen(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self._pooled = checked_map(output, self._x, "cam", name).clone()

        return listen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "linear":
            given = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
            self._linear = (given["input"], given["weight"], result)
        elif name in _MEANS and not self._fixed:
            pooled = args[0] if args else (kwargs or {}).get("input")
            if isinstance(pooled, Tensor) and pooled.ndim == self._x.ndim:
                self._pooled = pooled
        return result

    def read(self, output: Any) -> tuple[Float[Tensor, "classes k"], Float[Tensor, "b classes"], Tensor]:
        """The classifier's weights, the scores it gave, and the feature maps it saw the means of.

        Raises:
            InputError: If the network does not end in a mean over feature maps and one linear layer.
        """
        if self._pooled is not None and isinstance(output, Tensor):
            means = self._pooled.flatten(2).mean(2)
            if self._linear is not None:
                features, weight, scores = self._linear
                if _same(features, means) and scores.shape == output.shape:
                    return weight, scores, self._pooled
            if _same(output, means):
                return torch.eye(output.shape[1], dtype=output.dtype, device=output.device), output, self._pooled
        what = f"of layer '{self._fixed}' and one linear layer" if self._fixed else "and one linear layer"
        raise InputError(
            f"cam: the network must end in global average pooling {what}, this one does not. Use grad_cam, which needs "
            "neither."
        )


def _same(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    largest = float(wanted.abs().max()) if wanted.numel() else 0.0
    return torch.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE * largest)
