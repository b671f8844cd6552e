"""Pictures of landmarks: where they were found, and how."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saccade.data.classification.read import is_picture, read_image, with_channels
from saccade.data.landmarks.case import Point
from saccade.data.orient import to_canonical
from saccade.data.volume import read_volume
from saccade.explain.render import encode, grey_window
from saccade.tasks.landmarks.predictor import Landmarks

COLOURS = {"maximum": "#4fc3f7", "hypothesis": "#4fc3f7", "refined": "#ffb74d", "missing": "#9e9e9e"}
TRUTH, WRONG = "#66bb6a", "#ef5350"
INCHES = 6.0


def point_picture(image: Path, found: Landmarks) -> bytes:
    """PNG of an image with its landmarks, of a volume seen along each axis: blue chosen hypotheses, orange refined.

    Raises:
        InputError: If the image cannot be read.
    """
    return encode(point_figure(image, found))


def point_figure(image: Path, found: Landmarks) -> Figure:
    """An image with its landmarks.

    Args:
        image: Its file.
        found: Its landmarks.
    """
    views = views_of(image)
    figure = Figure(figsize=(INCHES * len(views), INCHES), facecolor="black", layout="constrained")
    for number, (grey, extent, axes) in enumerate(views):
        place = figure.add_subplot(1, len(views), number + 1)
        show(place, grey, extent)
        for name, point, label in zip(found.names, found.points, found.labels, strict=True):
            if np.isfinite(point).all():
                mark(place, _seen(tuple(point), axes), COLOURS[label.split()[0]], name if number == 0 else "")
    return figure


def views_of(image: Path) -> list[tuple[Float[np.ndarray, "r c"], tuple[float, float, float, float], tuple[int, int]]]:
    """Grey levels 0..1, extent (left, right, bottom, top) in the user's coordinates and the two coordinates shown: of a
    picture itself, of a volume its mean along each axis."""
    if is_picture(image):
        grey = with_channels(read_image(image), 1, str(image))[..., 0]
        rows, columns = grey.shape
        return [(stretched(grey), (0.0, float(columns), float(rows), 0.0), (0, 1))]
    volume = to_canonical(read_volume(image))
    array = volume.array if volume.array.ndim == 3 else volume.array[..., 0]
    low = (volume.affine @ [-0.5, -0.5, -0.5, 1])[:3]
    high = (volume.affine @ [*(n - 0.5 for n in volume.shape), 1])[:3]
    found = []
    for axis in (2, 1, 0):
        across, up = (other for other in range(3) if other != axis)
        grey = stretched(array.mean(axis).T)
        extent = (float(low[across]), float(high[across]), float(low[up]), float(high[up]))
        found.append((np.flipud(grey), extent, (across, up)))
    return found


def stretched(values: np.ndarray) -> Float[np.ndarray, "r c"]:
    """Grey levels 0..1 in which all but the darkest and brightest hundredth differ."""
    low, high = np.percentile(values, (1, 99))
    found: np.ndarray = grey_window(np.asarray(values, float), float(low), float(max(high, low + 1e-6)))
    return found


def show(place: Axes, grey: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """A grey image without axes."""
    place.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
    place.set_xlim(extent[0], extent[1])
    place.set_ylim(extent[2], extent[3])
    place.axis("off")


def mark(place: Axes, point: tuple[float, float], colour: str, name: str = "") -> None:
    """A landmark, with its name beside it."""
    place.plot(*point, "+", color=colour, markersize=8, markeredgewidth=1.6)
    if name:
        place.annotate(name, point, (4, 3), textcoords="offset points", color=colour, fontsize=7)


def _seen(point: Point, axes: tuple[int, int]) -> tuple[float, float]:
    return point[axes[0]], point[axes[1]]
