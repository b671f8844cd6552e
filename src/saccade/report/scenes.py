"""The planes of one case that a report draws: read, turned to RAS, cut, and the volumes let go again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from saccade.data.layouts import Case as Source
from saccade.data.layouts import load_case
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_volume, same_grid
from saccade.errors import InputError
from saccade.explain.render import Planes, grey_window, is_flat, planes
from saccade.report.gather import Case


@dataclass(frozen=True)
class MapPlanes:
    """A map's three planes, and what the whole map's values are; ``flat`` where it is one value everywhere."""

    planes: Planes
    low: float
    high: float
    flat: bool


@dataclass(frozen=True)
class Scene:
    """What is drawn of one case. ``centre_mm`` is the place of the planes in RAS world coordinates."""

    grey: Planes
    spacing_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float]
    window: str
    truth: Planes | None
    prediction: Planes | None
    attention: dict[str, MapPlanes]


def read_scene(case: Case, intensity: dict[str, Any], classes: set[int]) -> tuple[Scene | None, list[str]]:
    """The planes of a case through its largest true structure (else the largest predicted one, else the middle).

    Args:
        case: Where its volumes are.
        intensity: The run's ``data.intensity``: a ``ct_window`` fixes the grey window; without one it is taken from
            the 1st and 99th percentile of the scan.
        classes: The label values that the run knows; others are left out. If empty, all are drawn.

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
        truth = None if copy is None else copy.array.astype(np.int32)
    predicted = _read(case.prediction, image, notices) if case.prediction is not None else None
    prediction = None if predicted is None else np.rint(predicted.array).astype(np.int32)
    for labels in (truth, prediction):
        if labels is not None and classes:
            labels[~np.isin(labels, list(classes))] = 0
    centre = _focus([labels for labels in (truth, prediction) if labels is not None], image.shape)
    low, high, window = _window(image.array, intensity)
    maps = {name: _map(path, image, centre, notices) for name, path in case.attention.items()}
    world = image.affine @ np.array([*centre, 1.0])
    scene = Scene(
        grey=Planes(*(grey_window(cut, low, high) for cut in planes(image.array, centre))),
        spacing_mm=(float(image.spacing_mm[0]), float(image.spacing_mm[1]), float(image.spacing_mm[2])),
        centre_mm=(float(world[0]), float(world[1]), float(world[2])),
        window=window,
        truth=None if truth is None else planes(truth, centre),
        prediction=None if prediction is None else planes(prediction, centre),
        attention={name: cut for name, cut in maps.items() if cut is not None},
    )
    return scene, notices


def _read_source(source: Source, notices: list[str]) -> tuple[Volume | None, np.ndarray | None]:
    """The scan (its first channel) and the truth on its grid, both canonical."""
    try:
        image, label = load_case(source)
    except (InputError, OSError) as error:
        notices.append(str(error))
        return _read(source.images[0], None, notices), None
    return _first_channel(to_canonical(image)), None if label is None else to_canonical(label).array.astype(np.int32)


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


def _map(path: Path, image: Volume, centre: tuple[int, int, int], notices: list[str]) -> MapPlanes | None:
    volume = _read(path, image, notices)
    if volume is None:
        return None
    finite = volume.array[np.isfinite(volume.array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return MapPlanes(planes(volume.array, centre), low, high, is_flat(volume.array))


def _focus(labels: list[np.ndarray], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The voxel of the largest structure that is nearest to its centre of mass, so that no plane misses it."""
    for volume in labels:
        counts = np.bincount(volume[volume > 0].ravel())
        if counts.size:
            return _middle(volume == int(counts.argmax()))
    return shape[0] // 2, shape[1] // 2, shape[2] // 2


def _middle(mask: Bool[np.ndarray, "i j k"]) -> tuple[int, int, int]:
    voxels = np.argwhere(mask)
    i, j, k = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()]
    return int(i), int(j), int(k)


def _window(array: Shaped[np.ndarray, "i j k"], intensity: dict[str, Any]) -> tuple[float, float, str]:
    low, high = intensity.get("low"), intensity.get("high")
    if intensity.get("kind") == "ct_window" and isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high), f"window {low:g} to {high:g} HU".replace("-", "−")
    finite = array[np.isfinite(array)]
    low, high = (float(q) for q in np.percentile(finite, (1, 99))) if finite.size else (0.0, 0.0)
    return low, high, f"grey from the 1st to the 99th percentile ({low:.4g} to {high:.4g})"
