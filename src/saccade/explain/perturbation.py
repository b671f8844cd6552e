"""Maps from what happens to the score when features or parts of the input are taken away; no gradients.

What is altered goes through the network in chunks of ``batch`` copies, so that memory does not grow with the number of
channels or windows; the size of the chunks does not change the result.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.explain.hooks import LINEAR, check_input, hooked, layer_output, on_grid, precise, undisturbed
from saccade.explain.layers import Layer, choose_layer
from saccade.explain.targets import Score, Target

RANGE_EPSILON = 1e-8  # of pytorch-grad-cam, against channels that are constant
ABLATED_BELOW = 1e7  # how far below the smallest activation pytorch-grad-cam ablates to
WINDOWS = 8  # windows of `occlusion` along each axis, unless set


def score_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    batch: int = 16,
) -> Float[Tensor, "b *grid"]:
    """Feature maps, weighted by the score of the input that each of them, as a mask, lets through.

    ``M_k = normalise(up(A_k))`` to 0..1, ``s_k = y(x * M_k)``, ``w = softmax_k(s)``, ``L = sum_k w_k A_k``.

    Source: Wang et al., 2020, https://arxiv.org/abs/1910.01279. Differs from the paper: as in pytorch-grad-cam, no
    baseline score is subtracted (softmax does not see it), masks are interpolated with corners aligned; no ReLU at the
    end.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: A class number, one for each item, or a function of the output for one item; see `Score`.
        layer: Name of a layer or the module; default the last convolution that runs.
        resize: Whether the map is brought to the grid of ``x`` (linear interpolation); else it lies on the layer's.
        batch: Masked copies that go through the network together.

    Returns:
        A map for each item, in units of the features.

    Raises:
        InputError: If the layer, the target, ``batch`` or ``x`` cannot be used.
    """
    _check_batch("score_cam", batch)
    chosen = choose_layer(network, x, layer, "score_cam")
    score = Score(target, len(x), "score_cam")
    weights = []
    with undisturbed(network) as module, torch.no_grad():
        activations = layer_output(module, x, chosen, "score_cam")[0]
        for item in range(len(x)):
            scores = []
            for channels in activations[item].split(batch):
                masks = F.interpolate(channels[:, None], x.shape[2:], mode=LINEAR[x.ndim - 2], align_corners=True)
                low, high = (_column(end(masks.flatten(1), 1), masks) for end in (torch.amin, torch.amax))
                masks = (masks - low) / (high - low + RANGE_EPSILON)
                scores.append(score.of_copies(item, module(x[item : item + 1] * masks), len(channels)))
            weights.append(torch.cat(scores).softmax(0))
    return _weighted_sum(torch.stack(weights), activations, x, resize)


def ablation_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    fill: float | None = None,
    batch: int = 16,
) -> Float[Tensor, "b *grid"]:
    """Feature maps, weighted by the part of the score that is lost without each of them.

    ``w_k = (y - y_k) / y`` (eq. 3) with y_k the score when channel k is set to ``fill``, ``L = sum_k w_k A_k``.

    The weights are shares of the score: they do not change when the target is negated, so that a counterfactual is the
    negative of this map.

    Source: Desai and Ramaswamy, 2020, https://doi.org/10.1109/WACV45572.2020.9093360. Differs from the paper: no ReLU
    at the end; unless ``fill=0`` is given, a layer whose smallest activation is not exactly 0 is ablated far below it,
    as pytorch-grad-cam does (a ReLU may follow).

    Args:
        network: As in `score_cam`.
        x: As in `score_cam`.
        target: As in `score_cam`.
        layer: As in `score_cam`.
        resize: As in `score_cam`.
        fill: Value of an ablated channel. Default 0 where 0 is an item's smallest activation, else the smallest - 1e7.
        batch: Ablated copies that go through the network together.

    Returns:
        A map for each item, in units of the features.

    Raises:
        InputError: As `score_cam`; if an item's score is 0, of which no part can be lost.
    """
    _check_batch("ablation_cam", batch)
    chosen = choose_layer(network, x, layer, "ablation_cam")
    score = Score(target, len(x), "ablation_cam")
    weights = []
    with undisturbed(network) as module, torch.no_grad():
        activations, calls, output = layer_output(module, x, chosen, "ablation_cam")
        whole = score(output)
        if (whole == 0).any():
            raise InputError("ablation_cam: the score must not be 0, of which no part can be lost. Use grad_cam.")
        for item in range(len(x)):
            kept = activations[item]
            lowest = kept.min()
            value = (0.0 if lowest == 0 else float(lowest) - ABLATED_BELOW) if fill is None else fill
            scores = []
            for numbers in torch.arange(len(kept), device=kept.device).split(batch):
                ablated = kept.expand(len(numbers), *kept.shape).clone()
                ablated[torch.arange(len(numbers), device=kept.device), numbers] = value
                with hooked(chosen[1], _replace(ablated, calls)):
                    altered = module(x[item : item + 1].expand(len(numbers), *x.shape[1:]).clone())
                scores.append(score.of_copies(item, altered, len(numbers)))
            weights.append((whole[item] - torch.cat(scores)) / whole[item])
    return _weighted_sum(torch.stack(weights), activations, x, resize)


def occlusion(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    fill: float | Tensor | None = None,
    batch: int = 16,
) -> Float[Tensor, "b *grid"]:
    """How much the score falls when a window of the input is covered.

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 4.2. Differs from the paper: the map shows
    the fall of the score, so that evidence is positive.

    Args:
        network: As in `score_cam`.
        x: As in `score_cam`.
        target: As in `score_cam`.
        layer: Must be None, since no layer is looked at.
        resize: Whether each voxel gets the mean over the windows that cover it; else there is one value per window.
        window: Voxels of the window along each axis; default an eighth of the input, rounded up.
        stride: Voxels from one window to the next, at most ``window``; default the window.
        fill: What covers: a number, or a tensor that fits ``x``; default each channel's mean.
        batch: Copies that go through the network together.

    Returns:
        A map for each item, in units of the score.

    Raises:
        InputError: If ``window`` or ``stride`` do not fit, a layer is named, or as `score_cam`.
    """
    check_input(network, x, "occlusion")
    no_layer("occlusion", layer)
    _check_batch("occlusion", batch)
    space = x.shape[2:]
    widths = _per_axis("window", window, [-(-size // WINDOWS) for size in space], space)
    steps = _per_axis("stride", stride, widths, widths)
    starts = [
        range(0, max(1, size - width + step), step) for size, width, step in zip(space, widths, steps, strict=True)
    ]
    places = [
        tuple(slice(start, start + width) for start, width in zip(corner, widths, strict=True))
        for corner in itertools.product(*starts)
    ]
    score, cover = Score(target, len(x), "occlusion"), filling(x, fill)
    falls = []
    with undisturbed(network) as module, torch.no_grad():
        whole = score(module(x.clone()))
        for item in range(len(x)):
            scores = []
            for group in _groups(places, batch):
                copies = x[item].expand(len(group), *x.shape[1:]).clone()
                for copy, place in zip(copies, group, strict=True):
                    copy[(slice(None), *place)] = cover[item][(slice(None), *place)]
                scores.append(score.of_copies(item, module(copies), len(group)))
            falls.append(whole[item] - torch.cat(scores))
    found = precise(torch.stack(falls)).reshape(len(x), *map(len, starts))
    return _spread(found, places, x) if resize else found


def filling(x: Float[Tensor, "b c *space"], fill: float | Tensor | None) -> Float[Tensor, "b c *space"]:
    """What stands where an input is covered: a number, a tensor, or by default the mean of each item's channels."""
    if fill is None:
        return x.mean(tuple(range(2, x.ndim)), keepdim=True).expand_as(x)
    return torch.as_tensor(fill, dtype=x.dtype, device=x.device).expand_as(x)


def no_layer(who: str, layer: Any) -> None:
    """Refuse a layer where none is looked at.

    Raises:
        InputError: If one is given.
    """
    if layer is not None:
        raise InputError(f"{who}: layer must be left out, this method looks at the input alone, got '{layer}'.")


def _replace(values: Tensor, calls: int) -> Any:
    """A hook that puts these values in the place of what a layer gives the last time that it runs in a pass."""
    left = calls

    def replace(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        nonlocal left
        left -= 1
        return values if left == 0 else None

    return replace


def _weighted_sum(
    weights: Float[Tensor, "b k"], activations: Float[Tensor, "b k *grid"], x: Tensor, resize: bool
) -> Tensor:
    maps = (_column(precise(weights), activations) * precise(activations)).sum(1)
    return on_grid(maps, x, resize)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def _groups(places: list[tuple[slice, ...]], size: int) -> Iterator[list[tuple[slice, ...]]]:
    return (places[first : first + size] for first in range(0, len(places), size))


def _spread(values: Float[Tensor, "b *windows"], places: list[tuple[slice, ...]], x: Tensor) -> Tensor:
    """At each voxel the mean over the windows that cover it."""
    total, count = (values.new_zeros(len(x), *x.shape[2:]) for _ in range(2))
    for number, place in enumerate(places):
        total[(slice(None), *place)] += _column(values.flatten(1)[:, number], total)
        count[(slice(None), *place)] += 1
    return total / count


def _per_axis(name: str, given: int | Sequence[int] | None, default: Sequence[int], most: Sequence[int]) -> list[int]:
    numbers = list(default) if given is None else [given] * len(most) if isinstance(given, int) else list(given)
    if len(numbers) != len(most) or any(not 1 <= n <= m for n, m in zip(numbers, most, strict=False)):
        raise InputError(f"occlusion: {name} must be from 1 to {tuple(most)} along the axes, got {given}.")
    return numbers


def _check_batch(who: str, batch: int) -> None:
    if batch < 1:
        raise InputError(f"{who}: batch must be at least 1, got {batch}.")
