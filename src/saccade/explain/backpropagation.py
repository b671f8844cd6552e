"""Maps from the gradient with respect to the input itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saccade.errors import InputError
from saccade.explain.gradient_cams import grad_cam
from saccade.explain.hooks import check_input, gradient_of, on_grid, precise, undisturbed
from saccade.explain.layers import Layer
from saccade.explain.perturbation import no_layer
from saccade.explain.targets import Score, Target


def input_gradient(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    keep_channels: bool = False,
) -> Float[Tensor, "b *grid"]:
    """How the score changes with each voxel: ``dy/dx``, the baseline that other maps are held against.

    Source: Simonyan et al., 2013, https://arxiv.org/abs/1312.6034. Differs from the paper: signed, where the paper
    shows the largest magnitude over the channels (``keep_channels=True``, then ``.abs().amax(1)``).

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: A class number, one for each item, or a function of the output for one item; see `Score`.
        layer: Must be None, since no layer is looked at.
        resize: Without effect, the map lies on the input's grid.
        keep_channels: Whether to keep a map per channel, (b, c, *space); else they are summed: the change of the score
            when all channels of a voxel grow alike.

    Returns:
        A map for each item, signed, in units of the score per unit of the input.

    Raises:
        InputError: If the target or ``x`` cannot be used, or a layer is named.
    """
    gradient = _gradient("input_gradient", network, x, target, layer, nullcontext())
    return gradient if keep_channels else gradient.sum(1)


def guided_backpropagation(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    keep_channels: bool = False,
) -> Float[Tensor, "b *grid"]:
    """The input's gradient, when every ReLU lets only positive gradients pass back.

    ``R_l = [A_l > 0] [R_(l+1) > 0] R_(l+1)``. Sharp, but hardly depends on the class or on the weights: let
    `faithfulness.verify` tell.

    Source: Springenberg et al., 2014, https://arxiv.org/abs/1412.6806. Differs from the paper: none. ReLUs are heard as
    functions, so modules, ``F.relu`` and in-place ones are all met; other rectifiers keep their own gradient.

    Args:
        network: As in `input_gradient`.
        x: As in `input_gradient`.
        target: As in `input_gradient`.
        layer: As in `input_gradient`.
        resize: As in `input_gradient`.
        keep_channels: As in `input_gradient`.

    Returns:
        As `input_gradient`.

    Raises:
        InputError: As `input_gradient`; if no ReLU runs.
    """
    guide = _Guide()
    gradient = _gradient("guided_backpropagation", network, x, target, layer, guide)
    guide.check_met()
    return gradient if keep_channels else gradient.sum(1)


def guided_grad_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    keep_channels: bool = False,
) -> Float[Tensor, "b *grid"]:
    """Guided backpropagation where Grad-CAM is positive: the detail of one, the class of the other.

    ``up(relu(L)) * R``. Source: Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391, section 3.2. Differs from the
    paper: none.

    Args:
        network: As in `input_gradient`.
        x: As in `input_gradient`.
        target: As in `input_gradient`.
        layer: Grad-CAM's layer; default the last convolution that runs.
        resize: Without effect, the map lies on the input's grid.
        keep_channels: As in `input_gradient`.

    Returns:
        As `input_gradient`.

    Raises:
        InputError: As `grad_cam` and `guided_backpropagation`.
    """
    coarse = grad_cam(network, x, target=target, layer=layer, resize=False).relu()
    detail = guided_backpropagation(network, x, target=target, keep_channels=True)
    found = on_grid(coarse, x, resize=True)[:, None] * detail
    return found if keep_channels else found.sum(1)


def _gradient(
    who: str,
    network: nn.Module,
    x: Tensor,
    target: Target,
    layer: Any,
    mode: AbstractContextManager[Any],
) -> Float[Tensor, "b c *space"]:
    check_input(network, x, who)
    no_layer(who, layer)
    score = Score(target, len(x), who)
    with undisturbed(network) as module, mode:
        leaf = x.detach().clone().requires_grad_()
        scores = score(module(leaf.clone()))  # a copy, since the network may begin in place
        return precise(gradient_of(scores, leaf, f"{who}: target does not depend on the input"))


class _Guide(TorchFunctionMode):
    """Puts guided ReLUs in the place of ReLUs, however they are written."""

    def __init__(self) -> None:
        super().__init__()
        self._met = False

    def check_met(self) -> None:
        """Raises InputError if no ReLU has run."""
        if not self._met:
            raise InputError(
                "guided_backpropagation: the network must have ReLUs, none runs in this one. Use input_gradient."
            )

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = args[0] if args else kwargs.get("input")
        if name not in ("relu", "relu_") or not isinstance(given, Tensor):
            return func(*args, **kwargs)
        self._met = True
        in_place = name == "relu_" or kwargs.get("inplace", False) or (len(args) > 1 and args[1])
        return _GuidedReLU.apply(given, bool(in_place))


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        if in_place:
            ctx.mark_dirty(x)
        positive = x.relu_() if in_place else x.relu()
        ctx.save_for_backward(positive)
        return positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (positive,) = ctx.saved_tensors
        return gradients[0].relu() * (positive > 0), None
