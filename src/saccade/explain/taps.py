"""Attention maps as explanations: what a network's own attention weighed, on the grid of its input."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import AttentionMap, record
from saccade.errors import InputError, unknown_name
from saccade.explain.hooks import check_input, on_grid, precise, undisturbed
from saccade.explain.targets import Target


def attention_maps(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target | None = None,
    layer: str | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Where the network's own attention lay, in one forward pass.

    Spatial maps are taken as they are, several of one mechanism averaged. Of a pairwise map (non-local blocks, self-
    attention) it is the attention that each position gets, averaged over heads and queries. `saccade.record` has the
    maps themselves.

    Args:
        network: Any module with attention from `saccade.attention`; left as it was.
        x: A batch; the items are explained independently.
        target: Not looked at, since attention has none: taken so that all methods can be called alike.
        layer: Name of a map as `saccade.record` gives it; default all of them, averaged on the grid of ``x``.
        resize: Whether the map is brought to the grid of ``x``; else it lies on that of the attention.

    Returns:
        A map for each item.

    Raises:
        InputError: If the network has no attention over positions, the name is none, or ``resize=False`` is given for
            maps on several grids.

    >>> from saccade.attention import SpatialSqueezeExcitation
    >>> attention_maps(nn.Sequential(nn.AvgPool2d(2), SpatialSqueezeExcitation(3)), torch.randn(1, 3, 8, 6)).shape
    torch.Size([1, 8, 6])
    """
    check_input(network, x, "attention_maps")
    with undisturbed(network) as module, torch.no_grad(), record(module) as recorded:
        module(x.clone())
    found = {name: one for name, seen in recorded.items() if (one := _over_positions(seen, x)) is not None}
    if not found:
        raise InputError(
            f"attention_maps: {type(network).__name__} has no attention over positions. Use grad_cam, or put one in "
            "with saccade.attach."
        )
    if layer is not None:
        if layer not in found:
            raise unknown_name("attention_maps", "map", layer, list(found))
        found = {layer: found[layer]}
    if not resize and len({one.shape for one in found.values()}) > 1:
        raise InputError(
            "attention_maps: maps on several grids cannot be averaged; name one with layer=, or leave resize=True. "
            f"Maps: {', '.join(found)}."
        )
    return torch.stack([on_grid(one, x, resize) for one in found.values()]).mean(0)


def _over_positions(seen: AttentionMap, x: Tensor) -> Tensor | None:
    """One value for each position (b, *grid), or None where a map is not about positions of this batch."""
    attention = precise(seen.tensor)
    if seen.kind == "spatial" and attention.ndim == x.ndim and len(attention) == len(x):
        return attention.mean(1)
    grid = seen.key_grid
    if seen.kind == "pairwise" and grid is not None and len(grid) == x.ndim - 2 and attention.shape[-1] == prod(grid):
        got = attention.flatten(1, -2).mean(1)
        return got.reshape(len(x), *grid) if len(got) == len(x) else None
    return None
