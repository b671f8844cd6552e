"""Maps that lie on no image: channel weights as bars, weights between tokens as matrices."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saccade.errors import InputError
from saccade.explain.draw_picture import Scene

_BAR_COLOUR, _GREY = "#3465a4", "#8a9099"
_CELLS, _CELL, _TINY = 4.4, 0.5, 0.02  # inches: side of a matrix, of a cell at most and at least
_MOST_TICKS = 40  # names along an axis that can still be read


def sums_to_one(values: Float[np.ndarray, "*any"]) -> bool:
    """Whether these are shares of a whole, as a softmax gives them."""
    return values.size > 1 and bool(values.min() >= 0) and abs(float(values.sum()) - 1) < 1e-2


def draw_bars(weights: Float[np.ndarray, "c"], labels: Sequence[str] | None, scene: Scene | None) -> Figure:
    """A bar for every channel, in order; shares of a whole with a line at what each would have if all were alike.

    Args:
        weights: One for each channel.
        labels: Names of the channels. Default: their numbers.
        scene: The picture whose channels these are, which then stands at the left.

    Raises:
        InputError: If there are not as many labels as channels.
    """
    count = len(weights)
    if labels is not None and len(labels) != count:
        raise InputError(f"draw: labels must be {count}, one for each channel, got {len(labels)}.")
    views = [] if scene is None else scene.views()
    sizes = [2.6 * view.size_mm[0] / max(max(view.size_mm) for view in views) for view in views]  # inches wide
    room, height = float(np.clip(0.16 * count, 3.0, 11.0)), 2.9 if labels is None else 3.3
    left = sum(sizes) + 0.1 * len(sizes)
    width = left + room + 0.75
    figure = Figure(figsize=(width, height), facecolor="white")
    at = 0.1
    for view, size in zip(views, sizes, strict=True):
        tall = size * view.size_mm[1] / view.size_mm[0]
        place = figure.add_axes((at / width, (height - 0.15 - tall) / height, size / width, tall / height))
        place.imshow(view.levels, aspect="auto", interpolation="nearest")
        place.axis("off")
        at += size + 0.1
    bottom = 0.55 if labels is None else 0.95
    axes = figure.add_axes(((left + 0.6) / width, bottom / height, room / width, 1 - (bottom + 0.15) / height))
    axes.bar(np.arange(count), weights, width=0.8, color=_BAR_COLOUR)
    if sums_to_one(weights):
        axes.axhline(1 / count, color=_GREY, linestyle="--", linewidth=1)
    elif weights.min() >= 0 and weights.max() <= 1:
        axes.set_ylim(0, 1)  # gates are to be compared
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlim=(-0.6, count - 0.4), xlabel="channel", ylabel="weight")
    if labels is not None:
        _name_ticks(axes, "x", labels, rotation=60)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_matrices(
    matrices: Sequence[Float[np.ndarray, "rows columns"]],
    labels: Sequence[str] | None,
    key_labels: Sequence[str] | None,
    *,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Matrices of one size side by side: a row for every step or token that looks, a column for every one looked at.

    Args:
        matrices: One or several; their colours share one scale from 0 to the largest weight (or the negative ones').
        labels: Names of the rows.
        key_labels: Names of the columns.
        titles: Of the matrices.

    Raises:
        InputError: If there are not as many names as rows or columns.
    """
    rows, columns = matrices[0].shape
    for name, given, count, what in (("labels", labels, rows, "row"), ("key_labels", key_labels, columns, "column")):
        if given is not None and len(given) != count:
            raise InputError(f"draw: {name} must be {count}, one for each {what} of the map, got {len(given)}.")
    cell = float(np.clip(_CELLS / max(rows, columns), _TINY, _CELL))
    side = 0.5 + 0.085 * max(map(len, labels or [""]))  # inches for names, at about 9 points
    top = 0.35 + 0.075 * max(map(len, key_labels or [""])) + (0.3 if titles else 0)
    wide, high = max(columns * cell, 0.8), max(rows * cell, 0.8)
    width, height = side + len(matrices) * (wide + 0.15) + 0.75, top + high + 0.15
    figure = Figure(figsize=(width, height), facecolor="white")
    largest = max(float(np.nanmax(matrix)) for matrix in matrices)
    smallest = min(float(np.nanmin(matrix)) for matrix in matrices)
    bound = max(largest, -smallest) or 1.0
    for number, matrix in enumerate(matrices):
        left = side + number * (wide + 0.15)
        axes = figure.add_axes((left / width, 0.1 / height, wide / width, high / height))
        drawn = axes.imshow(
            matrix,
            cmap="RdBu_r" if smallest < 0 else "inferno",
            vmin=-bound if smallest < 0 else 0.0,
            vmax=bound,
            aspect="auto",
            interpolation="nearest",
        )
        axes.xaxis.tick_top()
        axes.tick_params(length=2, labelsize=9)
        axes.locator_params(integer=True)
        if key_labels is not None:
            _name_ticks(axes, "x", key_labels, rotation=60)
        if labels is not None:
            _name_ticks(axes, "y", labels)
        if number:
            axes.set_yticklabels([])
        if titles:
            axes.set_title(titles[number], fontsize=10, pad=4)
    bar = figure.add_axes(((width - 0.6) / width, 0.1 / height, 0.1 / width, high / height))
    figure.colorbar(drawn, cax=bar).outline.set_visible(False)
    bar.tick_params(labelsize=8, length=2)
    return figure


def _name_ticks(axes: Axes, axis: str, names: Sequence[str], rotation: int = 0) -> None:
    """Names along an axis, as many as can be read."""
    shown = range(0, len(names), -(-len(names) // _MOST_TICKS))
    place = getattr(axes, f"set_{axis}ticks")
    style = {"rotation": rotation, "rotation_mode": "anchor"} if rotation else {}
    if rotation:
        style["ha"] = "left" if axes.xaxis.get_ticks_position() == "top" else "right"
    place(list(shown), [names[n] for n in shown], **style)
