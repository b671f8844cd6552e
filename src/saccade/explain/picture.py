"""The picture of a signed map over a scan or a picture, with the scale beside it."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from saccade.data.orient import to_canonical
from saccade.data.volume import Volume
from saccade.explain.render import MapScale, Planes, case_figure, grey_window, overlay, planes

GREY_PERCENTILES = (1.0, 99.0)  # of the scan's values that are finite
FLAT_INCHES = 5.0  # height of a picture


def explanation_figure(scan: Volume, map_: Volume, *, flat: bool = False) -> Figure:
    """Axial, coronal and sagittal plane through the voxel with the largest magnitude, the map in colour over them.

    With ``flat`` they are a picture of rows and columns, shown as it is.

    What speaks for the target is red, what speaks against it blue; a map without negative values goes from black to
    yellow. The scale is the map's own, unscaled. A map that is 0 everywhere leaves the scan as it is.
    """
    if not flat:
        scan, map_ = to_canonical(scan), to_canonical(map_)
    image, values = scan, np.nan_to_num(map_.array)
    array = image.array if image.array.ndim == 3 else image.array[..., 0]
    i, j, k = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    centre = int(i), int(j), int(k)
    finite = array[np.isfinite(array)]
    low, high = np.percentile(finite, GREY_PERCENTILES) if finite.size else (0.0, 1.0)
    largest = float(np.abs(values).max()) or 1.0
    scale = MapScale((-largest, largest), "RdBu_r") if values.min() < 0 else MapScale((0.0, largest), "inferno")
    if flat:
        return _flat_figure(grey_window(array[..., 0], float(low), float(high)), values[..., 0], scale)
    grey = Planes(*(grey_window(plane, float(low), float(high)) for plane in planes(array, centre)))
    return case_figure(grey, image.spacing_mm, attention=planes(values, centre), scale=scale)


def _flat_figure(grey: np.ndarray, values: np.ndarray, scale: MapScale) -> Figure:
    rows, columns = values.shape
    figure = Figure(figsize=(FLAT_INCHES * min(max(columns / rows, 0.3), 3) + 0.9, FLAT_INCHES), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(overlay(grey, values, limits=scale.limits, colormap=scale.colormap))
    axes.axis("off")
    figure.colorbar(ScalarMappable(Normalize(*scale.limits), scale.colormap), ax=axes)
    return figure
