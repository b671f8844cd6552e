"""What maps are drawn on: an image, or three planes of a volume, and where in the picture every position lies.

Positions are counted in pixels (or voxels) from the outer edge of the first one: pixel n reaches from n to n + 1, its
centre is n + 0.5. An image of n pixels so reaches from 0 to n, whatever the grid of the map that is laid over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saccade.errors import InputError
from saccade.explain.render import MapScale, draw_colour_bar, draw_directions, grey_window, overlay, planes

PLANE_AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}  # leftwards and upwards in the picture
_PANEL, _GAP, _TITLE, _BELOW, _BAR = 3.6, 0.1, 0.26, 0.14, 0.62  # inches: a panel, between, above, below them; bar
_WIDEST, _TALLEST = 14.0, 16.0  # inches, of a page of many panels
_COLUMNS = 5  # images in a row
_FEW = 64  # pixels; with fewer along each side an image is shown in squares, not blurred


def to_array(values: Any) -> np.ndarray:
    """An array of double precision from an array or a tensor of any type on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()  # by way of double, since NumPy has no bfloat16
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class Picture:
    """An image or a volume, and how it is to be shown.

    Args:
        values: (*space), (c, *space) or (b, c, *space), as a network took it: an image (h, w) with its first row at the
            top, or a volume (i, j, k) whose axes grow to the patient's right, front and head. One channel, or three
            for an image in colours. An array or a tensor.
        spacing_mm: Size of a pixel or voxel along each axis. Default: 1 everywhere.
        window: The intensities that are black and white. Default: percentiles 0.5 and 99.5.
        centre: Of a volume: the voxel through which the three planes go. Default: what the map points at.
    """

    values: Any
    spacing_mm: Sequence[int | float] | None = None
    window: tuple[int | float, int | float] | None = None
    centre: Sequence[int] | None = None


@dataclass(frozen=True)
class Scene:
    """A picture in grey levels or colours, 0..1: an image (h, w, 3) or a volume (i, j, k)."""

    levels: np.ndarray
    spacing_mm: tuple[float, ...]
    centre: tuple[int, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its size along the axes of space."""
        return self.levels.shape[: len(self.spacing_mm)]

    def views(self, place: Sequence[float] | np.ndarray | None = None) -> "list[View]":
        """The image, or the three planes through the centre: the picture's own, or else the voxel at ``place``."""
        if len(self.shape) == 2:
            return [View("", self, self.levels)]
        i, j, k = (n // 2 for n in self.shape)
        if self.centre is not None:
            i, j, k = self.centre
        elif place is not None:
            i, j, k = (int(np.clip(np.floor(p), 0, n - 1)) for p, n in zip(place, self.shape, strict=True))
        middle = (i, j, k)
        cuts = planes(self.levels, middle)
        return [
            View(name, self, np.repeat(cut[..., None], 3, axis=-1), middle)
            for name, cut in zip(PLANE_AXES, cuts, strict=True)
        ]


@dataclass(frozen=True)
class View:
    """One panel: the image, or one plane of a volume through ``centre``."""

    name: str
    scene: Scene
    levels: Float[np.ndarray, "rows columns 3"]
    centre: tuple[int, ...] | None = None

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height."""
        across, along = self._axes
        shape, spacing = self.scene.shape, self.scene.spacing_mm
        return shape[across] * spacing[across], shape[along] * spacing[along]

    @property
    def _axes(self) -> tuple[int, int]:
        return PLANE_AXES[self.name] if self.name else (1, 0)

    def place(self, points: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n 2"]:
        """Where points lie in the panel, in mm from its upper left corner, x first; those of a volume are projected."""
        across, along = self._axes
        spacing = np.array(self.scene.spacing_mm)
        mm = np.asarray(points) * spacing
        x, y = mm[..., across], mm[..., along]
        if self.name:  # both axes of a plane grow away from the corner
            width, height = self.size_mm
            x, y = width - x, height - y
        return np.stack([x, y], -1)

    def cut(self, values: Float[np.ndarray, "*grid"]) -> Float[np.ndarray, "rows columns"]:
        """A map on a grid of its own, brought to the picture's pixels; of a volume the part that lies in this plane."""
        if self.centre is None:
            return resample(values, self.scene.shape)
        (fixed,) = {0, 1, 2} - set(self._axes)
        thin = resample(values, self.scene.shape, at=(fixed, self.centre[fixed]))
        return getattr(planes(thin, (0, 0, 0)), self.name)


def resample(
    values: Float[np.ndarray, "*grid"], shape: Sequence[int], at: tuple[int, int] | None = None
) -> Float[np.ndarray, "*shape"]:
    """A map interpolated linearly to another grid over the same field, as ``interpolate(align_corners=False)`` does.

    Args:
        values: The map.
        shape: Size of the other grid.
        at: An axis, and the one index on it that is wanted; that axis then has length 1.
    """
    for axis, (n, size) in enumerate(zip(values.shape, shape, strict=True)):
        wanted = np.arange(size) if at is None or at[0] != axis else np.array([at[1]])
        places = np.clip((wanted + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.floor(places).astype(int)
        part = (places - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        below, above = np.take(values, low, axis), np.take(values, np.minimum(low + 1, n - 1), axis)
        values = np.where(part > 0, (1 - part) * below + part * above, below)
    return values


def make_scene(image: Any, dims: int, item: int, what: str) -> Scene:
    """The picture of one item of a batch, with ``dims`` axes of space.

    Args:
        image: A `Picture`, an array or a tensor; see `Picture` for its shapes.
        dims: 2 or 3.
        item: Which of a batch.
        what: What is to be drawn over it, for messages.

    Raises:
        InputError: If there is no image, or of another number of axes, without that item, or with a wrong number of
            channels; for a spacing, window or centre that does not fit.
    """
    if dims not in (2, 3):
        raise InputError(f"draw: {what} must lie on an image or a volume, got a grid of {dims} axes.")
    if image is None:
        raise InputError(f"draw: {what} is drawn over its {_noun(dims)}, got none. Give image=.")
    picture = image if isinstance(image, Picture) else Picture(image)
    values = _channels_last(to_array(picture.values), dims, item)
    spacing = (1.0,) * dims if picture.spacing_mm is None else tuple(map(float, picture.spacing_mm))
    if len(spacing) != dims or min(spacing) <= 0:
        raise InputError(f"draw: spacing_mm must be {dims} numbers above 0, got {picture.spacing_mm}.")
    low, high = _window(values) if picture.window is None else map(float, picture.window)
    if not high > low:
        raise InputError(f"draw: window must be two growing intensities, got {picture.window}.")
    shape = values.shape[:dims]
    centre = None if picture.centre is None else tuple(picture.centre)
    if centre is not None and (len(centre) != dims or any(not 0 <= c < n for c, n in zip(centre, shape, strict=True))):
        raise InputError(f"draw: centre must lie inside the {_noun(dims)} {shape}, got {centre}.")
    levels = grey_window(values, low, high)
    if dims == 2:
        levels = np.broadcast_to(levels, (*shape, 3))
    return Scene(levels if dims == 2 else levels[..., 0], spacing, centre)


def _noun(dims: int) -> str:
    return "image" if dims == 2 else "volume"


def _channels_last(values: np.ndarray, dims: int, item: int) -> np.ndarray:
    if values.ndim == dims + 2:
        if not 0 <= item < len(values):
            raise InputError(f"draw: item must be in 0..{len(values) - 1}, the image's batch, got {item}.")
        values = values[item]
    if values.ndim == dims:
        values = values[None]
    if values.ndim != dims + 1:
        axes = "(h, w), (c, h, w) or (b, c, h, w)" if dims == 2 else "(i, j, k), (c, i, j, k) or (b, c, i, j, k)"
        raise InputError(f"draw: image must be {axes}, got the shape {values.shape}.")
    if len(values) != 1 and (dims, len(values)) != (2, 3):
        allowed = "1 channel, or 3 for colours" if dims == 2 else "1 channel"
        raise InputError(f"draw: image must have {allowed}, got {len(values)}. Give one, such as image[:, :1].")
    return np.moveaxis(values, 0, -1)


def _window(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, [0.5, 99.5])
    if low == high:  # a few bright pixels on black
        low, high = finite.min(), finite.max()
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def draw_page(
    rows: Sequence[Sequence[View]],
    maps: Sequence[np.ndarray | None],
    *,
    titles: Sequence[str] | None = None,
    scale: MapScale | None = None,
) -> tuple[Figure, list[list[Axes]]]:
    """A black figure with a row of panels for each map: the three planes of a volume; images stand side by side.

    Args:
        rows: The views of each map; all show one picture.
        maps: Values on a grid of their own over the same field, or None for the bare picture.
        titles: One for each map.
        scale: What the maps' values mean; a colour bar shows it.

    Returns:
        The figure, and for each map the axes of its views, in mm from each panel's upper left corner.
    """
    sizes = [view.size_mm for view in rows[0]]
    bar = _BAR if scale else 0.0
    (width, height), boxes = _layout(sizes, len(rows), _TITLE if titles else 0.0, bar)
    figure = Figure(figsize=(width, height), facecolor="black")

    def place(left: float, top: float, wide: float, high: float) -> Axes:
        return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))

    axes = [[place(*box) for box in line] for line in boxes]
    for panels, views, values in zip(axes, rows, maps, strict=True):
        for panel, view in zip(panels, views, strict=True):
            _show(panel, view, values, scale)
    for line, title in zip(boxes, titles or [], strict=bool(titles)):
        middle, top = (line[0][0] + line[-1][0] + line[-1][2]) / 2, min(box[1] for box in line)
        style: dict[str, Any] = {"color": "#e4e7eb", "fontsize": 9, "ha": "center", "va": "bottom"}
        figure.text(middle / width, 1 - (top - 0.06) / height, title, **style)
    if scale is not None:
        high = min(height - 0.3, _PANEL)
        draw_colour_bar(place(width - _BAR + 0.1, (height - high) / 2, 0.1, high), scale)
    return figure, axes


Box = tuple[float, float, float, float]


def _layout(
    sizes: Sequence[tuple[float, float]], count: int, title: float, bar: float
) -> tuple[tuple[float, float], list[list[Box]]]:
    """The size of a page, and the box (left, top, width, height) of every view of every map on it, in inches."""
    volume = len(sizes) > 1
    columns = 1 if volume else min(count, _COLUMNS)
    lines = -(-count // columns)
    wide, high = sum(width for width, _ in sizes), max(height for _, height in sizes)
    longest = max(max(size) for size in sizes)
    per_mm = min(_PANEL / longest, (_WIDEST - bar) / (columns * wide), _TALLEST / (lines * high))
    below = _BELOW if volume else 0.0  # for the names of the planes
    boxes = []
    for number in range(count):
        line, column = divmod(number, columns)
        left = _GAP + column * (per_mm * wide + _GAP)
        top = _GAP + title + line * (title + per_mm * high + below + _GAP)
        views = []
        for width, height in sizes:
            views.append((left, top + per_mm * (high - height) / 2, per_mm * width, per_mm * height))
            left += per_mm * width + _GAP
        boxes.append(views)
    right = max(box[0] + box[2] for line in boxes for box in line) + _GAP + bar
    return (right, _GAP + lines * (title + per_mm * high + below + _GAP)), boxes


def _show(axes: Axes, view: View, values: np.ndarray | None, scale: MapScale | None) -> None:
    levels = view.levels
    if values is not None and scale is not None:
        # Colours of the picture are shown as grey there, lest they be taken for those of the map.
        levels = overlay(levels.mean(-1), view.cut(values), limits=scale.limits, colormap=scale.colormap)
    width, height = view.size_mm
    few = max(levels.shape[:2]) < _FEW
    axes.imshow(levels, extent=(0.0, width, height, 0.0), aspect="auto", interpolation="nearest" if few else "bilinear")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    if view.name:
        draw_directions(axes, view.name)
