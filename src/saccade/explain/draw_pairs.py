"""Where a query looks: arrows to the keys that weigh most, as in figure 3 of the paper on non-local networks."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saccade.errors import InputError
from saccade.explain.draw_picture import Scene, View, draw_page

STRONGEST = 20  # arrows from each query, as many as the paper draws
_COLOURS = ("#4dd0ff", "#ffb000", "#ff5fa2", "#7ee081", "#c89bff", "#ffef5f", "#ff7043", "#a5f3eb")


def strongest_keys(row: Float[np.ndarray, "keys"], count: int = STRONGEST) -> Int[np.ndarray, "some"]:
    """Numbers of the keys with the largest weights in absolute value, the largest first; none of weight 0."""
    size = np.abs(np.nan_to_num(row))
    order = np.argsort(-size, kind="stable")[:count]
    return order[size[order] > 0]


def draw_arrows(
    weights: Float[np.ndarray, "rows keys"],
    scene: Scene,
    grid: Sequence[int],
    key_grid: Sequence[int],
    queries: Sequence[Sequence[int]] | None,
) -> Figure:
    """Every query as a dot, and arrows to its strongest keys: all in one image, or a row of three planes for each.

    Args:
        weights: A row for every position of the grid, or for every query.
        scene: The picture; volumes are cut through the query, unless the picture says where.
        grid: Where the queries lie.
        key_grid: Where the keys lie, over the same field.
        queries: Positions on the grid.

    Raises:
        InputError: If there are no queries, one of them lies outside, or rows or keys do not fit.
    """
    if weights.shape[1] != math.prod(key_grid):
        raise InputError(
            f"draw: a map to keys on the grid {tuple(key_grid)} must have {math.prod(key_grid)} columns, got "
            f"{weights.shape[1]}."
        )
    rows = [weights[number] for number in _rows(len(weights), grid, queries)]
    ends = [
        _middles(np.array(np.unravel_index(strongest_keys(row), tuple(key_grid))).T, key_grid, scene) for row in rows
    ]
    starts = [_middles(np.array(query), grid, scene) for query in queries or []]
    if len(scene.shape) == 2:
        figure, axes = draw_page([scene.views()], [None])
        panels = [axes[0]] * len(rows)
        views = [scene.views()] * len(rows)
    else:
        views = [scene.views(start) for start in starts]
        titles = [f"query {tuple(query)}" for query in queries or []]
        figure, panels = draw_page(views, [None] * len(rows), titles=titles)
    for number, row in enumerate(rows):
        weight = row[strongest_keys(row)]
        for axes_, view in zip(panels[number], views[number], strict=True):
            _fan(axes_, view, starts[number], ends[number], weight, _COLOURS[number % len(_COLOURS)])
    return figure


def _rows(count: int, grid: Sequence[int], queries: Sequence[Sequence[int]] | None) -> list[int]:
    """Which row of the map belongs to each query."""
    grid = tuple(grid)
    if not queries:
        example = tuple(n // 2 for n in grid)
        raise InputError(f"draw: a pairwise map on the grid {grid} needs queries, such as queries=[{example}].")
    for query in queries:
        if len(query) != len(grid) or any(not 0 <= q < n for q, n in zip(query, grid, strict=True)):
            raise InputError(f"draw: a query must lie inside the map's grid {grid}, got {tuple(query)}.")
    if count == math.prod(grid):
        return [int(np.ravel_multi_index(tuple(query), grid)) for query in queries]
    if count != len(queries):
        raise InputError(f"draw: queries must be the {count} that were recorded, in their order, got {len(queries)}.")
    return list(range(count))


def _middles(positions: np.ndarray, grid: Sequence[int], scene: Scene) -> np.ndarray:
    """Centres of a grid's positions, in pixels of the picture."""
    return (positions + 0.5) * np.array(scene.shape) / np.array(grid)


def _fan(axes: Axes, view: View, start: np.ndarray, ends: np.ndarray, weights: np.ndarray, colour: str) -> None:
    """One query's arrows; the heavier the key, the wider and denser its arrow. A ring: the query itself is a key."""
    x, y = view.place(start)
    shares = np.abs(weights) / max(float(np.abs(weights).max(initial=0.0)), 1e-300)
    for end, weight, share in zip(view.place(ends), weights, shares, strict=True):
        if np.allclose(end, (x, y)):
            axes.plot([x], [y], "o", markersize=11, markerfacecolor="none", markeredgecolor=colour)
            continue
        style = {
            "arrowstyle": "-|>,head_length=0.35,head_width=0.16",
            "color": colour,
            "alpha": 0.5 + 0.5 * float(share),
            "linewidth": 0.8 + 1.4 * float(share),
            "linestyle": "--" if weight < 0 else "-",
            "shrinkA": 0,
            "shrinkB": 0,
        }
        axes.annotate("", xy=tuple(end), xytext=(x, y), arrowprops=style, annotation_clip=False)
    axes.plot([x], [y], "o", markersize=6, color=colour, markeredgecolor="black")
