"""Scaled dot-product attention: every query averages values, weighted by how well their keys match it.

Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.1.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from saccade.attention.tap import Tap
from saccade.errors import InputError

Mask = Bool[Tensor, "..."] | Float[Tensor, "..."]


def scaled_dot_product_attention(
    q: Float[Tensor, "b *h n d"],
    k: Float[Tensor, "b *h m d"],
    v: Float[Tensor, "b *h m dv"],
    *,
    mask: Mask | None = None,
    causal: bool = False,
    scale: int | float | None = None,
    dropout: int | float = 0.0,
    tap: Tap | None = None,
    grid: Sequence[int] | None = None,
    key_grid: Sequence[int] | None = None,
) -> Float[Tensor, "b *h n dv"]:
    """``softmax(q k^T * scale + mask) v`` (eq. 1).

    Unheard, it is PyTorch's fused kernel, which never builds the n x m weights: memory is linear in n. Where somebody
    listens at ``tap``, the weights are built, pass through it, and are applied.

    Args:
        q: Queries; ``*h`` stands for any number of axes, as a rule one for the heads.
        k: Keys.
        v: Values, one for each key.
        mask: What broadcasts to (b, *h, n, m): booleans, True where a query may look at a key, or numbers that are
            added to the scores. A query that may look nowhere gets zeros.
        causal: Whether query i looks at keys 0 to i alone.
        scale: Factor of the scores. Default ``1 / sqrt(d)``, as in the paper.
        dropout: Share of the weights that is set to zero, the rest is scaled up; the caller asks whether it trains.
        tap: Where the map (b, *h, n, m) can be heard.
        grid: Spatial size on which the queries lie, for those who listen. Default: (n,).
        key_grid: The same of the keys. Default: (m,).

    Raises:
        InputError: If the mask does not broadcast to the scores.

    >>> q, k, v = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 7, 4), torch.randn(1, 2, 7, 3)
    >>> scaled_dot_product_attention(q, k, v).shape
    torch.Size([1, 2, 5, 3])
    """
    options: dict[str, Any] = {"mask": mask, "causal": causal, "scale": scale}
    rows = None
    if tap is not None and tap.heard:
        # Dropout draws for all rows at once: with it, the kernel and a part of the map would not agree.
        rows = None if dropout else tap.rows(q.shape[-2:-1] if grid is None else grid)
        if rows is None:
            return attend(q, k, v, dropout=dropout, tap=tap, grid=grid, key_grid=key_grid, **options)[0]
    # The kernel takes either a mask or the causal form.
    both = None if mask is None else _with_causal(mask, causal, q, k)
    seen = F.scaled_dot_product_attention(
        q, k, v, attn_mask=both, is_causal=causal and both is None, scale=scale, dropout_p=dropout
    )
    return seen if rows is None or tap is None else _through_tap(seen, rows, q, k, v, tap, grid, key_grid, options)


def _through_tap(
    seen: Tensor,
    rows: list[int],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tap: Tap,
    grid: Sequence[int] | None,
    key_grid: Sequence[int] | None,
    options: dict[str, Any],
) -> Tensor:
    """What the kernel gave, with these rows once more by way of their weights, which alone are built."""
    mask, causal = options["mask"], options["causal"]
    if mask is None and causal:
        mask = _lower_triangle(q, k)[rows]
    elif mask is not None:
        mask = _with_causal(mask, causal, q, k)
        mask = mask if mask.shape[-2] == 1 else mask[..., rows, :]
    grid, key_grid = _grids(q, k, grid, key_grid)
    weights = attention_weights(q[..., rows, :], k, mask=mask, scale=options["scale"])
    weights = tap(weights, grid=grid, key_grid=key_grid, rows=rows)
    return seen.index_copy(-2, torch.tensor(rows, device=q.device), weights @ v)


def attend(
    q: Float[Tensor, "b *h n d"],
    k: Float[Tensor, "b *h m d"],
    v: Float[Tensor, "b *h m dv"],
    *,
    mask: Mask | None = None,
    causal: bool = False,
    scale: int | float | None = None,
    dropout: int | float = 0.0,
    tap: Tap | None = None,
    grid: Sequence[int] | None = None,
    key_grid: Sequence[int] | None = None,
) -> tuple[Float[Tensor, "b *h n dv"], Float[Tensor, "b *h n m"]]:
    """The same, built from the weights, and the weights themselves as they were applied."""
    weights = attention_weights(q, k, mask=mask, causal=causal, scale=scale)
    weights = F.dropout(weights, dropout) if dropout else weights
    if tap is not None:
        grid, key_grid = _grids(q, k, grid, key_grid)
        weights = tap(weights, grid=grid, key_grid=key_grid)
    return weights @ v, weights


def attention_weights(
    q: Float[Tensor, "b *h n d"],
    k: Float[Tensor, "b *h m d"],
    *,
    mask: Mask | None = None,
    causal: bool = False,
    scale: int | float | None = None,
) -> Float[Tensor, "b *h n m"]:
    """How much each of n queries looks at each of m keys; every row sums to one, or to zero if it may look nowhere."""
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is None and not causal:
        return torch.softmax(scores, -1)
    if mask is None:
        return torch.softmax(scores.masked_fill(~_lower_triangle(q, k), -torch.inf), -1)
    mask = _with_causal(mask, causal, q, k)
    return masked_softmax(scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask)


def masked_softmax(scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Softmax over the last axis, where -inf marks what is forbidden; a row with nothing allowed becomes zeros."""
    nowhere = scores.amax(-1, keepdim=True) == -torch.inf
    return torch.softmax(scores.masked_fill(nowhere, 0.0), -1).masked_fill(nowhere, 0.0)


def _with_causal(mask: Tensor, causal: bool, q: Tensor, k: Tensor) -> Tensor:
    """The mask with at least an axis for queries and one for keys, and the future shut out if causal."""
    mask = mask[(None,) * max(2 - mask.ndim, 0)]
    wanted = (*q.shape[:-1], k.shape[-2])
    fits = mask.ndim <= len(wanted) and all(
        have in (1, want) for have, want in zip(reversed(mask.shape), reversed(wanted), strict=False)
    )
    if not fits:
        raise InputError(
            f"scaled_dot_product_attention: mask must broadcast to the scores {wanted}, got {tuple(mask.shape)}."
        )
    if mask.dtype == torch.bool:
        return mask & _lower_triangle(q, k) if causal else mask
    mask = mask.to(q.dtype)
    return mask.masked_fill(~_lower_triangle(q, k), -torch.inf) if causal else mask


def _grids(
    q: Tensor, k: Tensor, grid: Sequence[int] | None, key_grid: Sequence[int] | None
) -> tuple[Sequence[int], Sequence[int]]:
    return q.shape[-2:-1] if grid is None else grid, k.shape[-2:-1] if key_grid is None else key_grid


def _lower_triangle(q: Tensor, k: Tensor) -> Tensor:
    return torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
