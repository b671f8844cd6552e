"""What every form of pairwise attention has, and how its map becomes visible."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.tap import Tap


class Pairwise(nn.Module, ABC):
    """Weights ``f(x_i, x_j) / C(x)`` between n queries and m keys, and sums of values under them.

    Queries, keys and values have their channels first and positions last. Calling the module gives
    ``y_i = sum_j f(x_i, x_j) g(x_j) / C(x)`` (Wang et al., eq. 1); subclasses have a way that does not need the map.
    """

    @abstractmethod
    def weights(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], rows: Sequence[int] | None = None
    ) -> Float[Tensor, "b 1 q m"]:
        """The map: one row for each query, or for the queries numbered in ``rows``, and one column for each key."""

    def forward(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"], g: Float[Tensor, "b d m"]
    ) -> Float[Tensor, "b d n"]:
        return self.combine(self.weights(theta, phi), g)

    def combine(self, weights: Float[Tensor, "b 1 n m"], g: Float[Tensor, "b d m"]) -> Float[Tensor, "b d n"]:
        """For each query the sum of all values, each times its weight, in the order of operations of published code."""
        return apply_weights(weights, g)


def apply_weights(weights: Float[Tensor, "b 1 n m"], g: Float[Tensor, "b d m"]) -> Float[Tensor, "b d n"]:
    """For each query the sum of all values, each times its weight."""
    # In this order as published, and with positions last in memory, so that what follows runs as it does without.
    return (weights[:, 0] @ g.mT).mT.contiguous()


def select_rows(x: Float[Tensor, "b c n"], rows: Sequence[int] | None) -> Float[Tensor, "b c q"]:
    """The positions numbered in ``rows``; all of them for None."""
    return x if rows is None else x[:, :, list(rows)]


def attend(
    pairwise: Pairwise,
    tap: Tap,
    theta: Float[Tensor, "b c *grid"],
    phi: Float[Tensor, "b c *key_grid"],
    g: Float[Tensor, "b d *key_grid"],
) -> Float[Tensor, "b d *grid"]:
    """Sum the values under the pairwise weights, and show the weights to those who listen at the tap.

    The whole map is built, shown and used when somebody wants it whole; only the rows asked for are built beside the
    fast way when all who listen named their queries; nothing is built when nobody listens.
    """
    grid, key_grid = theta.shape[2:], phi.shape[2:]
    # Sizes are named because -1 cannot be found for an empty batch.
    queries, keys = theta.reshape(*theta.shape[:2], prod(grid)), phi.reshape(*phi.shape[:2], prod(key_grid))
    values = g.reshape(*g.shape[:2], prod(key_grid))
    rows = tap.rows(grid) if tap.heard else None
    if tap.heard and rows is None:
        y = pairwise.combine(tap(pairwise.weights(queries, keys), grid=grid, key_grid=key_grid), values)
    else:
        if rows is not None:
            tap(pairwise.weights(queries, keys, rows), grid=grid, key_grid=key_grid, rows=rows)
        y = pairwise(queries, keys, values)
    return y.reshape(*g.shape[:2], *grid)
