"""The picture of a signed map over a scan or a picture, with the scale beside it."""

from math import ceil

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from saccade.data.orient import to_canonical
from saccade.data.volume import Volume
from saccade.explain.boxes import Extent, box_of_map
from saccade.explain.render import MapScale, case_figure, grey_window, overlay, planes
from saccade.metrics.inputs import Real

GREY_PERCENTILES = (1.0, 99.0)  # of the scan's values that are finite
FLAT_INCHES = 5.0  # height of a picture
CHANNELS = 16  # feature maps that are drawn, the strongest
COLUMNS = 4
OF_MAP, OF_DETECTION = "#7dffb0", "#ffd23f"  # colours of boxes
AXES = ((0, 1), (0, 2), (1, 2))  # across and up in the axial, coronal and sagittal plane


def explanation_figure(
    scan: Volume, map_: Volume, *, flat: bool = False, boxed: bool = False, found: Extent | None = None
) -> Figure:
    """Axial, coronal and sagittal plane through the voxel with the largest magnitude, the map in colour over them.

    With ``flat`` they are a picture of rows and columns, shown as it is; with ``boxed`` the box around the largest part
    above 20 % of the map's maximum is drawn; so is ``found``, a detection's box in voxels of the canonical scan.

    What speaks for the target is red, what speaks against it blue; a map without negative values goes from black to
    yellow. The scale is the map's own, unscaled. A map that is 0 everywhere leaves the scan as it is.
    """
    if not flat:
        scan, map_ = to_canonical(scan), to_canonical(map_)
    grey, values = grey_values(scan), np.nan_to_num(map_.array)
    scale = signed_scale(values)
    drawn: list[tuple[Extent | None, str]] = [(box_of_map(values) if boxed else None, OF_MAP), (found, OF_DETECTION)]
    boxes = [(box, colour) for box, colour in drawn if box is not None]
    if flat:
        return _flat_figure(grey[..., 0], values[..., 0], scale, boxes)
    i, j, k = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    centre = int(i), int(j), int(k)
    figure = case_figure(planes(grey, centre), scan.spacing_mm, attention=planes(values, centre), scale=scale)
    for box, colour in boxes:
        sizes = [n * step for n, step in zip(values.shape, scan.spacing_mm, strict=True)]
        for axes, (across, up) in zip(figure.axes, AXES, strict=False):
            # planes are drawn with both axes turned round: right on the left, front and head at the top
            ends = [[sizes[axis] - end * scan.spacing_mm[axis] for end in reversed(box[axis])] for axis in (across, up)]
            _draw_box(axes, ends[0], ends[1], colour)
    return figure


def feature_figure(maps: Volume, *, flat: bool = False) -> Figure:
    """The channels with the largest magnitudes; of volumes the axial plane through each one's strongest voxel."""
    array = np.nan_to_num(maps.array if flat else to_canonical(maps).array)
    order = np.argsort(-np.abs(array).max((0, 1, 2)), kind="stable")[:CHANNELS]
    columns = min(COLUMNS, len(order))
    rows = ceil(len(order) / columns)
    figure = Figure(figsize=(1.9 * columns + 0.9, 2.1 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    scale = signed_scale(array[..., order])
    for place in places.flat:
        place.axis("off")
    for place, channel in zip(places.flat, order, strict=False):
        values = array[..., channel]
        i, j, k = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        shown = values[..., 0] if flat else planes(values, (int(i), int(j), int(k))).axial
        place.imshow(shown, cmap=scale.colormap, vmin=scale.limits[0], vmax=scale.limits[1])
        place.set_title(f"channel {channel}", fontsize=7)
    figure.colorbar(ScalarMappable(Normalize(*scale.limits), scale.colormap), ax=places, shrink=0.8)
    return figure


def grey_values(scan: Volume) -> Float[np.ndarray, "i j k"]:
    """The first channel of a scan as grey levels 0..1."""
    array = scan.array if scan.array.ndim == 3 else scan.array[..., 0]
    finite = array[np.isfinite(array)]
    low, high = np.percentile(finite, GREY_PERCENTILES) if finite.size else (0.0, 1.0)
    return grey_window(array, float(low), float(high))


def signed_scale(values: Num[np.ndarray, "..."]) -> MapScale:
    """Red and blue around 0; from black to yellow for values without negative ones."""
    largest = float(np.abs(values).max()) or 1.0
    return MapScale((-largest, largest), "RdBu_r") if values.min() < 0 else MapScale((0.0, largest), "inferno")


def _flat_figure(grey: np.ndarray, values: np.ndarray, scale: MapScale, boxes: list[tuple[Extent, str]]) -> Figure:
    rows, columns = values.shape
    figure = Figure(figsize=(FLAT_INCHES * min(max(columns / rows, 0.3), 3) + 0.9, FLAT_INCHES), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(overlay(grey, values, limits=scale.limits, colormap=scale.colormap))
    for box, colour in boxes:
        vertical, horizontal = ([end - 0.5 for end in ends] for ends in box[:2])  # pixels are drawn around their middle
        _draw_box(axes, horizontal, vertical, colour)
    axes.axis("off")
    figure.colorbar(ScalarMappable(Normalize(*scale.limits), scale.colormap), ax=axes)
    return figure


def _draw_box(axes: Axes, horizontal: list[Real], vertical: list[Real], colour: str) -> None:
    width, height = horizontal[1] - horizontal[0], vertical[1] - vertical[0]
    axes.add_patch(Rectangle((horizontal[0], vertical[0]), width, height, fill=False, edgecolor=colour, linewidth=1.2))
