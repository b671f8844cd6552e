"""Sums of rectified sums, ``sum_j relu(a_i + b_j) g_j``, for all i at once, without the plane of all pairs."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Below so many pairs, the plane of all pairs is quicker than sorting.
SMALL_PLANE = 64 * 64


def hinge_sum(a: Float[Tensor, "b n"], b: Float[Tensor, "b m"], g: Float[Tensor, "b d m"]) -> Float[Tensor, "b d n"]:
    """``y_i = sum_j relu(a_i + b_j) g_j``, exactly, in ``O((n + m) log m)`` steps and memory linear in n + m.

    With ``t = -a_i``, ``y = F(t) = sum_{j: b_j > t} (b_j - t) g_j`` is piecewise linear in t, with a kink at every
    b_j. For b sorted from the largest, ``G_k = g_1 + ... + g_k`` and ``H_k = F(b_k) = sum_{l<k} (b_l - b_{l+1}) G_l``,
    every query lies on one piece: ``F(t) = H_k + (b_k - t) G_k``, where k keys are larger than t; a binary search finds
    k. All factors are differences of neighbours, so that nothing large cancels wherever a and b lie; the two running
    sums are kept in float64.

    Its gradients are of the same kind with queries and keys exchanged: for g the function itself, for a and b the
    slopes G. They can be differentiated again.

    >>> a, b, g = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, -1.0]]), torch.tensor([[[1.0, 10.0]]])
    >>> hinge_sum(a, b, g)  # relu(1) * 1 + relu(-1) * 10; relu(3) * 1 + relu(1) * 10
    tensor([[[ 1., 13.]]])
    """
    if torch.compiler.is_compiling():
        return _pieces(a, b, g)[0]
    if a.shape[1] * b.shape[1] <= SMALL_PLANE:
        return g @ torch.relu(b[:, :, None] + a[:, None])
    return _HingeSum.apply(a, b, g)[0]


def _pieces(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """For every query the sum and its slope: ``sum_j relu(a_i + b_j) g_j`` and ``sum_j [a_i + b_j > 0] g_j``."""
    exact = torch.float32 if a.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    # Half precision has neither sort nor search everywhere, and a wider type changes no comparison.
    queries, keys = (x if x.dtype == torch.float64 else x.float() for x in (a, b))
    falling, order = keys.sort(1, descending=True)
    # How many keys are larger than -a: counted from the small end of the rising keys -b.
    count = torch.searchsorted(falling.detach().neg(), queries.detach().contiguous())
    steps = (falling[:, :-1] - falling[:, 1:]).to(exact)
    running = g.gather(2, order[:, None].expand_as(g)).cumsum(2, dtype=exact)
    at_keys = (steps[:, None] * running[:, :, :-1]).cumsum(2)
    # Query i lies behind key number k = count_i: nothing has been passed for k = 0, where all is zero.
    behind = (count - 1).clamp(min=0)
    here = behind[:, None].expand(-1, g.shape[1], -1)
    passed = (count > 0)[:, None]
    slope = running.gather(2, here) * passed
    base = torch.cat([torch.zeros_like(running[:, :, :1]), at_keys], 2).gather(2, here)
    beyond = (queries + falling.gather(1, behind)).to(exact)
    return (base * passed + beyond[:, None] * slope).to(g.dtype), slope.to(g.dtype)


class _HingeSum(torch.autograd.Function):
    """`_pieces` with the gradients written down, which is faster and more exact than through sort and running sums."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        y, slope = _pieces(a, b, g)
        ctx.save_for_backward(a, b, g, slope)
        ctx.set_materialize_grads(False)
        return y, slope

    @staticmethod
    def backward(ctx: Any, for_y: Tensor | None, for_slope: Tensor | None) -> tuple[Tensor | None, ...]:
        a, b, g, slope = ctx.saved_tensors
        for_a = for_b = for_g = None
        if for_y is not None:
            for_g, slope_of_keys = _HingeSum.apply(b, a, for_y)
            for_a, for_b = (for_y * slope).sum(1), (slope_of_keys * g).sum(1)
        if for_slope is not None:
            # The slope is constant in a and b, and linear in g.
            step = _HingeSum.apply(b, a, for_slope)[1]
            for_g = step if for_g is None else for_g + step
        return for_a, for_b, for_g
