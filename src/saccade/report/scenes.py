"""One case as the viewer shows it: scan, labels and maps in RAS order on one grid small enough for a page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped, UInt8
from scipy.ndimage import find_objects

from saccade.data.layouts import Case as Source
from saccade.data.layouts import load_case
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_volume, same_grid
from saccade.errors import InputError
from saccade.report.gather import Case
from saccade.report.pack import LEVELS, ct_levels, fit, quantise
from saccade.report.resample import Shape, mean_to, nearest_to, shown_affine, shown_shape

MAP_LARGEST = 96  # voxels along an axis of a shown map: gates work on coarser grids than this
MOST_CLASSES = 255  # label maps are stored in 8 bits
CT_WINDOWS = (("soft tissue", -160.0, 240.0), ("lung", -1350.0, 150.0), ("bone", -450.0, 1050.0))  # HU
_PERCENTILE_VOXELS = 2_000_000  # as many as tell a percentile


@dataclass(frozen=True)
class Map:
    """A map in 256 steps from ``low`` to ``high``, its range on the whole scan; ``flat`` if one value everywhere."""

    values: UInt8[np.ndarray, "i j k"]
    low: float
    high: float
    flat: bool


@dataclass(frozen=True)
class Scene:
    """What is shown of one case.

    Attributes:
        original: Shape of the scan in its file, in RAS order; the shown one is that of ``image``.
        affine: Shown voxel index -> RAS mm.
        image: Index into ``levels``, the grey levels' values.
        unit: Of the levels; empty where they have none.
        windows: (name, value shown black, value shown white); the first is the one to begin with.
        values: The label value of each index from 1 up in ``truth`` and ``prediction``; index 0 is background.
        maps: By name.
        start: The voxel shown first.
        places: For each label value a voxel in the middle of the structure, true if there is a truth.
    """

    original: Shape
    affine: Float64[np.ndarray, "4 4"]
    image: UInt8[np.ndarray, "i j k"]
    levels: Float64[np.ndarray, "levels"]
    unit: str
    windows: list[tuple[str, float, float]]
    values: list[int]
    truth: UInt8[np.ndarray, "i j k"] | None
    prediction: UInt8[np.ndarray, "i j k"] | None
    maps: dict[str, Map]
    start: Shape
    places: dict[int, Shape] = field(default_factory=dict)


def read_scene(
    case: Case, intensity: dict[str, Any], classes: set[int], most_bytes: float
) -> tuple[Scene | None, list[str]]:
    """A case, the planes meeting in its largest true structure (else the largest predicted one, else the middle).

    Args:
        case: Where its volumes are.
        intensity: The run's ``data.intensity``: a ``ct_window`` says that values are HU, and is one of the windows.
        classes: The label values that the run knows; others are left out. If empty, all are shown.
        most_bytes: What the scan may take as text in the page; grid and grey levels follow from it.

    Returns:
        The scene, None if the scan is gone or cannot be read; and notices of what else cannot be shown, because it
        cannot be read or lies on another grid than the scan.
    """
    notices: list[str] = []
    image, truth = _read_source(case.source, notices) if case.source is not None else (None, None)
    if image is None:
        return None, notices
    if truth is None and case.truth is not None:
        copy = _read(case.truth, image, notices)
        truth = None if copy is None else copy.array
    predicted = _read(case.prediction, image, notices) if case.prediction is not None else None
    levels, unit, windows = _greys(image.array, intensity)
    shape, levels = fit(image.array, levels, most_bytes)
    shown = [
        None if a is None else _shown_labels(a, shape) for a in (truth, None if not predicted else predicted.array)
    ]
    values = _values([labels for labels in shown if labels is not None], classes, notices)
    indices = [None if labels is None else _indices(labels, values) for labels in shown]
    start, places = _places([labels for labels in indices if labels is not None], shape)
    maps = {name: _map(path, image, notices) for name, path in case.attention.items()}
    scene = Scene(
        original=image.shape,
        affine=shown_affine(image.affine, image.shape, shape),
        image=quantise(mean_to(image.array, shape), levels),
        levels=levels,
        unit=unit,
        windows=windows,
        values=values,
        truth=indices[0],
        prediction=indices[1],
        maps={name: map_ for name, map_ in maps.items() if map_ is not None},
        start=start,
        places={values[index - 1]: place for index, place in places.items()},
    )
    return scene, notices


def _read_source(source: Source, notices: list[str]) -> tuple[Volume | None, np.ndarray | None]:
    """The scan (its first channel) and the truth on its grid, both canonical."""
    try:
        image, label = load_case(source)
    except (InputError, OSError) as error:
        notices.append(str(error))
        return _read(source.images[0], None, notices), None
    return _first_channel(to_canonical(image)), None if label is None else to_canonical(label).array


def _read(path: Path, image: Volume | None, notices: list[str]) -> Volume | None:
    try:
        volume = _first_channel(to_canonical(read_volume(path)))
    except (InputError, OSError) as error:
        notices.append(str(error))
        return None
    if image is not None and not same_grid(image, volume, min(image.spacing_mm) / 2):
        notices.append(f"{path.name} must lie on the scan's grid, shape {image.shape}, got another: not shown.")
        return None
    return volume


def _first_channel(volume: Volume) -> Volume:
    return volume.like(volume.array[..., 0]) if volume.channels > 1 else volume


def _greys(
    array: Shaped[np.ndarray, "i j k"], intensity: dict[str, Any]
) -> tuple[np.ndarray, str, list[tuple[str, float, float]]]:
    """Grey levels, their unit and the windows: of a CT in HU, else from the scan's own percentiles."""
    step = max(array.size // _PERCENTILE_VOXELS, 1)
    some = array.ravel()[::step]
    some = some[np.isfinite(some)] if some.dtype.kind == "f" else some
    lowest, low, high, highest = (float(q) for q in np.percentile(some if some.size else [0.0], (0.02, 1, 99, 99.98)))
    if intensity.get("kind") == "ct_window":
        levels = ct_levels()
        windows = [*CT_WINDOWS, ("full", max(lowest, levels[0]), min(highest, levels[-1]))]
        trained = intensity.get("low"), intensity.get("high")
        if isinstance(trained[0], int | float) and isinstance(trained[1], int | float):
            window = ("as trained", float(trained[0]), float(trained[1]))
            if window[1:] not in [known[1:] for known in windows]:
                windows.append(window)
        return levels, "HU", windows
    levels = np.linspace(lowest, max(highest, lowest + 1e-6), LEVELS)
    return levels, "", [("1 to 99 %", low, high), ("full", lowest, highest)]


def _shown_labels(array: np.ndarray, shape: Shape) -> Shaped[np.ndarray, "i j k"]:
    return np.rint(np.nan_to_num(nearest_to(array, shape))).astype(np.int32)


def _values(labels: list[np.ndarray], classes: set[int], notices: list[str]) -> list[int]:
    present = {int(value) for array in labels for value in np.unique(array)}
    values = sorted(value for value in (classes or present) if value > 0)
    if len(values) > MOST_CLASSES:
        notices.append(f"Only the first {MOST_CLASSES} of {len(values)} label values are shown.")
    return values[:MOST_CLASSES]


def _indices(labels: np.ndarray, values: list[int]) -> UInt8[np.ndarray, "i j k"]:
    known = np.array([0, *values])
    index = np.minimum(np.searchsorted(known, labels), len(values))
    return np.where(known[index] == labels, index, 0).astype(np.uint8)


def _map(path: Path, image: Volume, notices: list[str]) -> Map | None:
    volume = _read(path, image, notices)
    if volume is None:
        return None
    finite = volume.array[np.isfinite(volume.array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    array = np.where(np.isfinite(volume.array), volume.array, min(max(low, 0.0), high)).astype(np.float32)
    coarse = mean_to(array, shown_shape(image.shape, MAP_LARGEST))
    return Map(quantise(coarse, np.linspace(low, max(high, low + 1e-12), LEVELS)), low, high, low == high)


def _places(labels: list[np.ndarray], shape: Shape) -> tuple[Shape, dict[int, Shape]]:
    """Where to begin, and a voxel of each structure: of the first label map that has it."""
    places: dict[int, Shape] = {}
    start = None
    for volume in labels:
        for index, box in enumerate(find_objects(volume), start=1):
            if box is not None and index not in places:
                i, j, k = _middle(volume[box] == index)
                places[index] = (i + box[0].start, j + box[1].start, k + box[2].start)
        counts = np.bincount(volume[volume > 0])
        if start is None and counts.size:
            start = places[int(counts.argmax())]
    return start or (shape[0] // 2, shape[1] // 2, shape[2] // 2), places


def _middle(mask: Bool[np.ndarray, "i j k"]) -> Shape:
    """The voxel of a structure that is nearest to its centre of mass, so that the planes through it do not miss it."""
    voxels = np.argwhere(mask)
    i, j, k = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()]
    return int(i), int(j), int(k)
