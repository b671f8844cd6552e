"""The same images and objects in another layout."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from saccade.data.classification.read import is_picture, without_suffix
from saccade.data.detection.case import BoxDataset, Scene
from saccade.data.detection.check import image_extent
from saccade.data.detection.coco import write_coco
from saccade.data.detection.table import write_box_table
from saccade.data.detection.voc import PICTURE_FOLDER, write_voc
from saccade.errors import InputError, unknown_name
from saccade.files import atomic

LAYOUTS: dict[str, tuple[Callable[[BoxDataset, Path], None], str]] = {
    "voc": (write_voc, PICTURE_FOLDER),
    "coco": (write_coco, "images"),
    "csv": (write_box_table, "images"),
}


def convert_boxes(
    dataset: BoxDataset, out: Path, layout: str, *, progress: Callable[[int, int, str], None] | None = None
) -> None:
    """Write a data set in a layout, with copies of its images.

    Boxes, classes, flags and parts (train, val, test) come back as they were, numbers to 15 digits. Other things that a
    file says of an object come along where the layout has room: in elements, keys or columns of the same name.

    Args:
        dataset: With no faults.
        out: A new or empty folder.
        layout: ``voc``, ``coco`` or ``csv``.
        progress: Called after each image with (images done, images in all, scene id).

    Raises:
        InputError: For an unknown layout, a folder that is not empty, faults, or boxes that the layout cannot hold.
    """
    if layout not in LAYOUTS:
        raise unknown_name("data convert", "layout", layout, list(LAYOUTS))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: must be a new or empty folder.")
    if dataset.faults:
        raise InputError(f"{dataset.faults[0]} See all faults with: saccade data check {dataset.root}")
    write, folder = LAYOUTS[layout]
    write(replace(dataset, scenes=tuple(map(_with_size, dataset.scenes))), out)
    for number, scene in enumerate(dataset.scenes, 1):
        suffix = scene.image.name.removeprefix(Path(without_suffix(scene.image.name)).name)
        with atomic(out / folder / f"{scene.id}{suffix}") as temporary:
            shutil.copyfile(scene.image, temporary)
        if progress is not None:
            progress(number, len(dataset.scenes), scene.id)


def _with_size(scene: Scene) -> Scene:
    """With the size of its picture, which VOC and COCO want to be told."""
    if scene.size is not None or not is_picture(scene.image):
        return scene
    _, high = image_extent(scene.image)
    return replace(scene, size=(int(high[0]), int(high[1])))
