"""Everything that is wrong with a data set of boxes, found before a training run finds it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np

from saccade.data.classification.read import is_picture, read_image
from saccade.data.detection.case import AXES, BoxDataset, Object, Scene
from saccade.data.layout_case import Fault, Kind
from saccade.data.volume import read_volume
from saccade.errors import InputError

Progress = Callable[[int, int, str], None]
Extent = tuple[np.ndarray, np.ndarray]
SLACK = 1e-3  # of a pixel or mm, that a box may stick out by rounding


def check_boxes(dataset: BoxDataset, *, progress: Progress | None = None) -> list[Fault]:
    """All faults, in order of scene and file; bad files are reported, never raised.

    Args:
        dataset: From `scan_box_dataset`.
        progress: Called after each scene with (scenes done, scenes in all, scene id).
    """
    faults = list(dataset.faults)
    for number, scene in enumerate(dataset.scenes, 1):
        faults += _of_scene(scene)
        if progress is not None:
            progress(number, len(dataset.scenes), scene.id)
    if not any(scene.objects for scene in dataset.scenes):
        faults.append(Fault("", str(dataset.root), "missing label", "a box on some images", "none"))
    return sorted(faults, key=lambda fault: (fault.case, fault.file, fault.kind))


def describe_boxes(dataset: BoxDataset) -> str:
    """How many objects of each class there are, in one line."""
    counts = Counter(item.name for scene in dataset.scenes for item in scene.objects)
    empty = sum(not scene.objects for scene in dataset.scenes)
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no object"
    return told + (f"; {empty} without objects" if empty else "")


def image_extent(path: Path) -> Extent:
    """Lowest and highest corner of an image, x first: of a picture in pixels, of a volume in world mm.

    Raises:
        InputError: If it cannot be read.
    """
    if is_picture(path):
        rows, columns = read_image(path).space
        return np.zeros(2), np.array([columns, rows], float)
    volume = read_volume(path)
    ends = [(-0.5, size - 0.5) for size in volume.shape]
    corners = np.array(list(product(*ends))) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return corners.min(0), corners.max(0)


def _of_scene(scene: Scene) -> Iterator[Fault]:
    try:
        extent = image_extent(scene.image)
    except InputError as error:
        yield Fault(scene.id, str(scene.image), "unreadable", "an image", str(error).rstrip("."))
        return
    low, high = extent
    if scene.size is not None and len(low) == 2 and scene.size != tuple(high):
        expected = f"{high[0]:.0f} x {high[1]:.0f}, the image's size"
        yield Fault(scene.id, str(scene.image), "image size", expected, f"{scene.size[0]} x {scene.size[1]}")
    seen: set[tuple] = set()
    for number, item in enumerate(scene.objects, 1):
        yield from _of_object(scene, f"box {number} ({item.name or 'no class'})", item, extent)
        if (item.box, item.name) in seen:
            expected = f"box {number} to be another than those before"
            yield Fault(scene.id, str(scene.image), "duplicate object", expected, _shown(item))
        seen.add((item.box, item.name))


def _of_object(scene: Scene, what: str, item: Object, extent: Extent) -> Iterator[Fault]:
    def fault(kind: Kind, expected: str) -> Fault:
        return Fault(scene.id, str(scene.image), kind, f"{what}: {expected}", _shown(item))

    low, high = extent
    if not item.name:
        yield fault("unknown class", "the name of its class")
    if len(item.box) != 2 * len(low):
        yield fault("channel count", f"corners with {len(low)} axes, as the image has")
        return
    first, last = np.split(np.array(item.box), 2)
    if not np.isfinite(item.box).all():
        yield fault("not finite", "finite numbers")
    elif (first > last).any():
        wrong = ", ".join(axis for axis, a, b in zip(AXES, first, last, strict=False) if a > b)
        yield fault("reversed box", f"the lower corner first, along {wrong} too")
    elif (first == last).any():
        yield fault("empty box", "lengths above 0")
    elif (first < low - SLACK).any() or (last > high + SLACK).any():
        yield fault("box outside", f"within {_numbers(low)} to {_numbers(high)}")


def _shown(item: Object) -> str:
    middle = len(item.box) // 2
    return f"{_numbers(item.box[:middle])} to {_numbers(item.box[middle:])}"


def _numbers(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
