"""Pictures of a scan: three planes through one voxel, with a map or contours laid over them.

Everything here takes arrays in canonical order: axis i grows to the patient's right, j to the front, k to the head.
Planes are shown in the radiological convention: the patient's right is on the left of the axial and the coronal
plane; the sagittal plane looks to the left. Front and head are up.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Num, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

Colour = tuple[int, int, int]

_GAP, _CAPTION, _BAR = 0.10, 0.20, 0.55  # inches: between planes, below them, beside them for the colour bar
_TALLEST = 0.42  # a figure is at most this many times as high as it is wide, so that a long scan fits a screen
_EDGES = {"axial": ("R", "A"), "coronal": ("R", "S"), "sagittal": ("A", "S")}  # what lies at the left and the top


class Planes(NamedTuple):
    """The three planes through one voxel, each (rows, columns) with row 0 at the top of the picture."""

    axial: np.ndarray
    coronal: np.ndarray
    sagittal: np.ndarray


def planes(volume: Shaped[np.ndarray, "i j k"], centre: tuple[int, int, int]) -> Planes:
    """The axial, coronal and sagittal plane through a voxel of a canonical (RAS) array.

    Raises:
        ValueError: If the voxel lies outside the array.
    """
    if not all(0 <= c < size for c, size in zip(centre, volume.shape, strict=True)):
        raise ValueError(f"planes: centre must lie inside the volume {volume.shape}, got {tuple(centre)}.")
    i, j, k = centre
    # One rule serves all three: the second axis runs upwards and the first one to the left.
    return Planes(*(np.flip(cut).T for cut in (volume[:, :, k], volume[:, j, :], volume[i, :, :])))


def grey_window(image: Num[np.ndarray, "*space"], low: float, high: float) -> Float[np.ndarray, "*space"]:
    """Intensities as grey levels in 0..1: ``low`` and below is black, ``high`` and above is white, NaN is black."""
    grey = (np.nan_to_num(np.asarray(image, dtype=np.float64), nan=low) - low) / max(high - low, 1e-12)
    return np.clip(grey, 0.0, 1.0)


@dataclass(frozen=True)
class MapScale:
    """How the values of a map become colours; chosen once for all pictures that are to be compared.

    Args:
        limits: The values at the two ends of the colour bar.
        colormap: Name of a matplotlib colour map.
    """

    limits: tuple[float, float]
    colormap: str


def map_scale(low: float, high: float) -> MapScale:
    """The scale for maps whose values lie in ``low``..``high``: it depends on the kind of map, not on one picture.

    Coefficients between 0 and 1 keep 0..1; other positive maps take 0..``high``; signed maps a diverging colour map
    with 0 in its middle.
    """
    if low < 0:
        bound = max(-low, high)
        return MapScale((-bound, bound), "RdBu_r")
    return MapScale((0.0, 1.0 if high <= 1 else high), "inferno")


def is_flat(values: Num[np.ndarray, "*space"]) -> bool:
    """Whether a map says nothing about position: one value everywhere, or no finite value at all."""
    finite = values[np.isfinite(values)]
    return finite.size == 0 or bool(finite.min() == finite.max())


def overlay(
    image2d: Num[np.ndarray, "rows columns"],
    map2d: Num[np.ndarray, "rows columns"],
    *,
    limits: tuple[float, float],
    colormap: str = "inferno",
    opacity: float = 0.6,
) -> Float[np.ndarray, "rows columns 3"]:
    """A grey picture with a map in colour over it.

    The colour grows with the distance from nothing (0, where the limits enclose it): a voxel at the end of the scale
    is coloured with ``opacity``, one that got no attention shows the plain scan. NaN, and a map that is constant,
    leave the scan as it is.

    Args:
        image2d: Grey levels in 0..1.
        map2d: Values on the same grid; those outside ``limits`` take the colour of the nearer end.
        limits: Values at the two ends of the colour map.
        colormap: Name of a matplotlib colour map.
        opacity: Of the strongest colour, in 0..1.

    Returns:
        Red, green and blue in 0..1.
    """
    return _blend(image2d, np.zeros_like(map2d) * np.nan if is_flat(map2d) else map2d, limits, colormap, opacity)


def _blend(
    grey: np.ndarray, values: np.ndarray, limits: tuple[float, float], colormap: str, opacity: float
) -> np.ndarray:
    low, high = limits
    alpha = opacity * np.where(np.isfinite(values), _strength(np.nan_to_num(values), limits), 0.0)[..., None]
    nothing = min(max(0.0, low), high)
    colour = matplotlib.colormaps[colormap](Normalize(low, high, clip=True)(np.nan_to_num(values, nan=nothing)))
    return (1 - alpha) * np.asarray(grey, dtype=np.float64)[..., None] + alpha * colour[..., :3]


def _strength(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """How much of its colour a value shows, 0..1: nothing where there is no attention, all at the end of the scale."""
    low, high = limits
    nothing = min(max(0.0, low), high)
    reach = max(high - nothing, nothing - low)
    part = np.clip(np.abs(values - nothing) / reach, 0, 1) if reach > 0 else np.zeros_like(values)
    # The root keeps middling attention (0.3 to 0.5) visible on bright bone and fat.
    return np.sqrt(part)


def map_colours(scale: MapScale) -> UInt8[np.ndarray, "256 4"]:
    """Red, green, blue and opacity (0..255) at 256 steps along a scale: the rule of `overlay` at opacity 1."""
    colours = matplotlib.colormaps[scale.colormap](np.linspace(0, 1, 256))
    colours[:, 3] = _strength(np.linspace(*scale.limits, 256), scale.limits)
    return np.rint(255 * colours).astype(np.uint8)


def draw_contours(
    axes: Axes,
    labels2d: Num[np.ndarray, "rows columns"],
    pixel_mm: tuple[float, float],
    colours: Mapping[int, Colour],
    *,
    dashed: bool = False,
) -> None:
    """Outline every structure of a label plane, in mm: solid in its colour, or dashed in a lighter tint of it.

    Args:
        axes: Where to draw; its x axis is the column and its y axis the row, in mm from the picture's corner.
        labels2d: Label values; 0 is background.
        pixel_mm: Height and width of a pixel.
        colours: Red, green, blue in 0..255 by label value; a value without one is white.
        dashed: For a second segmentation over the first: lighter, so that where both agree both are seen.
    """
    height, width = pixel_mm
    padded = np.pad(np.asarray(labels2d), 1)  # so that a structure cut by the picture's edge is outlined there too
    rows = (np.arange(padded.shape[0]) - 0.5) * height
    columns = (np.arange(padded.shape[1]) - 0.5) * width
    for value in np.unique(padded[padded != 0]):
        colour = np.array(colours.get(int(value), (255, 255, 255))) / 255
        mask = padded == value
        near_rows, near_columns = (_around(mask.any(axis)) for axis in (1, 0))
        lines = axes.contour(
            columns[near_columns],
            rows[near_rows],
            mask[near_rows, near_columns].astype(float),
            levels=[0.5],
            colors=[tuple(0.5 * colour + 0.5 if dashed else colour)],
            linewidths=1.3 if dashed else 1.5,
            linestyles=[(0, (2.2, 1.6))] if dashed else "solid",
        )
        lines.set_path_effects([_casing(1.2)])


def _casing(extra_points: float) -> withStroke:
    """A dark rim, without which light lines and letters are lost on bright tissue."""
    return withStroke(linewidth=1.1 + extra_points, foreground=(0, 0, 0, 0.65))


def _around(occupied: np.ndarray) -> slice:
    where = np.flatnonzero(occupied)
    return slice(where[0] - 1, where[-1] + 2)


def case_figure(
    grey: Planes,
    spacing_mm: tuple[float, float, float],
    *,
    truth: Planes | None = None,
    prediction: Planes | None = None,
    colours: Mapping[int, Colour] | None = None,
    attention: Planes | None = None,
    scale: MapScale | None = None,
    width_inches: float = 10.0,
) -> Figure:
    """Three planes of one case side by side at one scale in mm, with contours, or a map and its colour bar.

    Args:
        grey: The scan in grey levels 0..1 (`grey_window`).
        spacing_mm: Size of a voxel along i, j, k.
        truth: Label planes drawn as solid lines.
        prediction: Label planes drawn as dashed lines.
        colours: Colour of each label value.
        attention: A map's planes; NaN is left out. A colour bar shows ``scale``.
        scale: What the map's values mean; required with ``attention``.
        width_inches: Width of the figure; its height follows from the scan.

    Raises:
        ValueError: If there is a map without a scale.
    """
    if attention is not None and scale is None:
        raise ValueError("case_figure: attention must come with a scale, got none. Use map_scale(low, high).")
    pixels = {
        "axial": (spacing_mm[1], spacing_mm[0]),
        "coronal": (spacing_mm[2], spacing_mm[0]),
        "sagittal": (spacing_mm[2], spacing_mm[1]),
    }
    sizes = [(c.shape[0] * p[0], c.shape[1] * p[1]) for c, p in zip(grey, pixels.values(), strict=True)]
    figure, boxes, bar = _page(sizes, width_inches, with_bar=attention is not None)
    for index, (name, pixel_mm) in enumerate(pixels.items()):
        rows_mm, columns_mm = sizes[index]
        axes = figure.add_axes(boxes[index])
        picture: np.ndarray = np.repeat(grey[index][..., None], 3, axis=-1)
        if attention is not None and scale is not None:
            picture = _blend(grey[index], attention[index], scale.limits, scale.colormap, 0.6)
        extent = (0.0, columns_mm, rows_mm, 0.0)
        axes.imshow(np.clip(picture, 0, 1), extent=extent, interpolation="bilinear", aspect="auto")
        for labels, dashed in ((truth, False), (prediction, True)):
            if labels is not None:
                draw_contours(axes, labels[index], pixel_mm, colours or {}, dashed=dashed)
        axes.set(xlim=(0, columns_mm), ylim=(rows_mm, 0))
        axes.axis("off")
        draw_directions(axes, name)
    if scale is not None and bar is not None:
        draw_colour_bar(figure.add_axes(bar), scale)
    return figure


def _page(
    sizes: list[tuple[float, float]], width: float, *, with_bar: bool
) -> tuple[Figure, list[tuple[float, float, float, float]], tuple[float, float, float, float] | None]:
    """A black figure, the place of each plane in it and that of the colour bar, as fractions."""
    bar = _BAR if with_bar else 0.0
    room = width - 2 * _GAP - bar
    per_mm = min(room / sum(columns for _, columns in sizes), _TALLEST * width / max(rows for rows, _ in sizes))
    tallest = max(max(rows for rows, _ in sizes) * per_mm, 0.6)
    height = tallest + _CAPTION
    left = (room - per_mm * sum(columns for _, columns in sizes)) / 2
    boxes = []
    for rows, columns in sizes:
        bottom = _CAPTION + (tallest - rows * per_mm) / 2
        boxes.append((left / width, bottom / height, columns * per_mm / width, rows * per_mm / height))
        left += columns * per_mm + _GAP
    place = ((width - 0.45) / width, (_CAPTION + 0.08) / height, 0.1 / width, (tallest - 0.2) / height)
    return Figure(figsize=(width, height), facecolor="black"), boxes, place if with_bar else None


def draw_directions(axes: Axes, name: str) -> None:
    """A plane's name below it, and letters at its left and top for what lies there: right, anterior, superior."""
    left, top = _EDGES[name]
    style: dict[str, Any] = {"transform": axes.transAxes, "color": "#e4e7eb", "fontsize": 7}
    rim = [_casing(1.0)]
    axes.text(0.01, 0.5, left, ha="left", va="center", path_effects=rim, **style)
    axes.text(0.5, 0.99, top, ha="center", va="top", path_effects=rim, **style)
    axes.text(0.5, -0.015, name, ha="center", va="top", **style)


def draw_colour_bar(axes: Axes, scale: MapScale) -> None:
    """Fill axes with a scale, blended over grey by the same rule as the map: a colour means the same on both."""
    low, high = scale.limits
    ramp = np.linspace(high, low, 128)[:, None]
    colours = _blend(np.full_like(ramp, 0.3), ramp, scale.limits, scale.colormap, 0.6)
    axes.imshow(np.clip(colours, 0, 1), extent=(0.0, 1.0, low, high), aspect="auto")
    axes.yaxis.tick_right()
    axes.set(xticks=[], yticks=[low, (low + high) / 2, high])
    axes.set_yticklabels([f"{value:.3g}" for value in (low, (low + high) / 2, high)])
    axes.tick_params(colors="#c8ccd2", labelsize=6.5, length=2, pad=2)


def encode(figure: Figure, *, kind: str = "png", dpi: int = 150) -> bytes:
    """The figure as the bytes of a ``png`` (exact) or ``jpeg`` file (smaller, for pages of many scans)."""
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"quality": 86, "subsampling": 0, "optimize": True} if kind == "jpeg" else {}
    figure.savefig(buffer, format=kind, dpi=dpi, facecolor=figure.get_facecolor(), pil_kwargs=settings)
    return buffer.getvalue()
