"""Draws what gates do to features: the scan, activations before, coefficients, products, activations after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from saccade.explain.render import draw_contours, encode, grey_window, map_colours, map_scale
from saccade.report.gather import Colour

CHANNELS = 4  # shown of each level, beside the mean over all
TOP_PERCENTILE = 99.5  # of the values before the gate: where colours end
_WIDTH, _MARGIN, _GAP, _TALLEST = 10.5, 0.62, 0.05, 1.5  # inches but the last: a panel's height over its width
_TITLE, _HEADING, _BELOW = 0.18, 0.30, 0.12  # inches: above each row, above and below each level
_OPACITY = 0.6  # of the coefficients over the scan
_INK = "#e4e7eb"


@dataclass(frozen=True)
class Level:
    """What passed the gates of one level in one axial plane of the network's window; i to the right, j to the front.

    Attributes:
        name: Of the module.
        before: Features as they came in.
        coefficients: One map for each gate.
        after: Features as they went out.
    """

    name: str
    before: Float[np.ndarray, "c i j"]
    coefficients: Float[np.ndarray, "gates i j"]
    after: Float[np.ndarray, "c i j"]


@dataclass(frozen=True)
class Slice:
    """An axial slice of a prepared scan, and what the gates made of it.

    Attributes:
        image: Prepared values.
        greys: Those shown black and white.
        truth: Class indices, or None.
        pixel_mm: Size of a pixel along i and j.
        window: Where the network's window begins and ends along i and j, in pixels; it may reach beyond the image.
        levels: From the finest down; their maps fill the window, whatever their grid.
    """

    image: Float[np.ndarray, "i j"]
    greys: tuple[float, float]
    truth: Shaped[np.ndarray, "i j"] | None
    pixel_mm: tuple[float, float]
    window: tuple[tuple[int, int], tuple[int, int]]
    levels: list[Level]


@dataclass(frozen=True)
class _Row:
    """Features to draw; those of ``like`` say which channels, and where their colours end."""

    name: str
    features: np.ndarray
    like: np.ndarray
    coefficients: np.ndarray | None = None


def draw_slice(seen: Slice, colours: Mapping[int, Colour], dpi: int) -> bytes:
    """A JPEG with a block for each level; its rows are before, times each gate's coefficients, and after.

    The first column has the scan, and the coefficients over it in colours from 0 to 1. The second has the mean of the
    activations' size over all channels, the others the channels that vary most over the slice. Colours run from 0 to
    the 99.5th percentile before the gate, so that a product is dark where the gate damped. A gate's output transform
    mixes channels: the row behind it has channels and colours of its own. It is left out where there is no transform.

    Args:
        seen: What to draw.
        colours: Of the truth's outlines, by class index.
        dpi: Pixels per inch of a picture that is 10.5 inches wide.
    """
    panels = _Panels(seen, colours)
    levels = [(level, _rows(level)) for level in seen.levels]
    height = sum(_HEADING + _BELOW + len(rows) * (_TITLE + panels.height) for _, rows in levels)
    figure = Figure(figsize=(_WIDTH, height), facecolor="black")
    top = height
    for level, rows in levels:
        grid = " × ".join(str(size) for size in level.before.shape[1:])
        heading = f"{level.name}: {len(level.before)} channels on a grid of {grid}"
        _write(figure, (0.08, top - _HEADING / 2), heading, fontsize=9.5, fontweight="bold")
        top -= _HEADING
        for row in rows:
            top -= _TITLE + panels.height
            _write(figure, (0.08, top + panels.height / 2), row.name, fontsize=8.5)
            panels.draw(figure, row, top, titles=row.like is row.features)
        top -= _BELOW
    return encode(figure, kind="jpeg", dpi=dpi)


def _rows(level: Level) -> list[_Row]:
    products = [alpha * level.before for alpha in level.coefficients]
    names = [f"× gate {n}" for n in range(1, 1 + len(products))] if len(products) > 1 else ["× gate"]
    rows = [_Row("before", level.before, level.before)]
    for name, product, alpha in zip(names, products, level.coefficients, strict=True):
        rows.append(_Row(name, product, level.before, alpha))
    if len(products) > 1 or not np.array_equal(products[0], level.after):
        rows.append(_Row("after", level.after, level.after))
    return rows


class _Panels:
    """The panels of a slice, all of one size, in mm from the corner of the slice's picture.

    The right of the patient is on the left and the front at the top: index i runs to the left, j upwards.
    """

    def __init__(self, seen: Slice, colours: Mapping[int, Colour]) -> None:
        self.seen, self.colours = seen, colours
        shown = [(max(a, 0), min(b, size)) for (a, b), size in zip(seen.window, seen.image.shape, strict=True)]
        self.view = self._box(*shown)
        left, right, bottom, top = self.view
        self.width = (_WIDTH - _MARGIN) / (2 + CHANNELS) - _GAP
        self.height = self.width * min((bottom - top) / (right - left), _TALLEST)

    def draw(self, figure: Figure, row: _Row, bottom: float, *, titles: bool) -> None:
        """One row, its panels standing on ``bottom`` (inches)."""
        if row.coefficients is not None:
            low, high = row.coefficients.min(), row.coefficients.max()
            self._scan(self._panel(figure, 0, bottom, f"coefficients {low:.2f}–{high:.2f}"), row.coefficients)
        elif row.name == "before":
            title = "scan" if self.seen.truth is None else "scan and truth"
            self._scan(self._panel(figure, 0, bottom, title), None)
        mean, like = np.abs(row.features).mean(0), np.abs(row.like).mean(0)
        self._features(self._panel(figure, 1, bottom, _to("mean size", like) if titles else ""), mean, like)
        busiest = np.argsort(-row.like.std((1, 2)), kind="stable")[:CHANNELS]
        for column, channel in enumerate(busiest, start=2):
            title = _to(f"channel {channel}", row.like[channel]) if titles else ""
            self._features(self._panel(figure, column, bottom, title), row.features[channel], row.like[channel])

    def _panel(self, figure: Figure, column: int, bottom: float, title: str) -> Axes:
        width, height = figure.get_size_inches()
        left = _MARGIN + column * (self.width + _GAP)
        axes = figure.add_axes((left / width, bottom / height, self.width / width, self.height / height))
        axes.axis("off")
        _write(figure, (left, bottom + self.height + 0.4 * _TITLE), title, fontsize=7)
        return axes

    def _scan(self, axes: Axes, coefficients: np.ndarray | None) -> None:
        grey = grey_window(self.seen.image, *self.seen.greys)
        whole = self._box(*((0, size) for size in grey.shape))
        axes.imshow(_upright(grey), extent=whole, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
        if coefficients is not None:
            scale = map_scale(float(coefficients.min()), float(coefficients.max()))
            table = map_colours(scale) / 255
            table[:, 3] *= _OPACITY
            self._map(axes, coefficients, scale.limits, ListedColormap(table))
        if self.seen.truth is not None:
            down, across = self.seen.pixel_mm[1], self.seen.pixel_mm[0]
            draw_contours(axes, _upright(self.seen.truth), (down, across), self.colours)
        self._frame(axes)

    def _features(self, axes: Axes, values: np.ndarray, like: np.ndarray) -> None:
        end = _end(like)
        signed = like.min() < 0
        self._map(axes, values, (-end if signed else 0.0, end), "RdBu_r" if signed else "viridis")
        self._frame(axes)

    def _map(self, axes: Axes, values: np.ndarray, limits: tuple[float, float], colours: Any) -> None:
        box = self._box(*self.seen.window)
        low, high = limits
        axes.imshow(_upright(values), extent=box, cmap=colours, vmin=low, vmax=high, interpolation="bilinear")

    def _box(self, along_i: tuple[int, int], along_j: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a part of the slice that is given in pixels."""
        (n, m), (across, down) = self.seen.image.shape, self.seen.pixel_mm
        return (n - along_i[1]) * across, (n - along_i[0]) * across, (m - along_j[0]) * down, (m - along_j[1]) * down

    def _frame(self, axes: Axes) -> None:
        left, right, bottom, top = self.view
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def _end(values: np.ndarray) -> float:
    """Where the colours of features end."""
    finite = np.abs(values[np.isfinite(values)])
    return max(float(np.percentile(finite, TOP_PERCENTILE)) if finite.size else 0.0, 1e-12)


def _to(name: str, values: np.ndarray) -> str:
    end = _end(values)
    return f"{name}, {'±' if values.min() < 0 else '0 to '}{end:.2g}"


def _write(figure: Figure, place: tuple[float, float], text: str, **style: Any) -> None:
    """Text at a place in inches from the lower left corner of the figure."""
    width, height = figure.get_size_inches()
    x, y = place[0] / width, place[1] / height
    figure.text(x, y, text, color=_INK, ha="left", va="center", parse_math=False, **style)


def _upright(cut: Shaped[np.ndarray, "i j"]) -> Shaped[np.ndarray, "j i"]:
    """As the radiological picture: the right on the left, the front at the top."""
    return np.flip(cut).T
