"""Detections as files: ours to be written and read, Pascal VOC's with scores and COCO's results to be read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.detection.case import BoxDataset
from saccade.data.detection.coco import coco_numbers, find_coco
from saccade.data.detection.voc import OBJECT_FOLDER, read_voc_objects
from saccade.errors import InputError
from saccade.files import read_json, write_json
from saccade.tasks.detection.detections import Detections

FORMAT, VERSION = "saccade-detections", 1
FILE = "predictions.json"
COCO_KEYS = {"image_id", "category_id", "bbox", "score"}
Row = tuple[str, Any, Any, Mapping[str, Any]]  # name, score, box, more; the middle ones may be anything as yet


@dataclass(frozen=True)
class Predicted:
    """Detections of some images.

    Attributes:
        found: Image -> what was found in it.
        classes: All that can be found; None where the files do not say.
        complete: Whether nothing was found in an image that is not there: COCO's results name no empty ones.
    """

    found: Mapping[str, Detections]
    classes: tuple[str, ...] | None = None
    complete: bool = False


def is_detections(path: Path) -> bool:
    """Whether a path is a file or folder of detections, whatever tool made them."""
    if path.is_dir():
        return _is_ours(path / FILE) or bool(_annotations(path))
    return path.is_file() and path.suffix.lower() == ".json"


def read_detections(path: Path, truth: BoxDataset) -> Predicted:
    """The detections of a file or folder.

    Args:
        path: Ours, a folder of Pascal VOC's XML files whose objects have a ``score``, or a JSON of COCO's results.
        truth: What they are to be held against; tells what the numbers of COCO's results stand for.

    Raises:
        InputError: If it is none of these, or damaged.
    """
    if path.is_dir() and not _is_ours(path / FILE):
        return _from_voc(_annotations(path))
    file = path / FILE if path.is_dir() else path
    content = read_json(file)
    if isinstance(content, list):
        return _from_coco(file, content, truth)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{file}: must be {FORMAT}, as `saccade predict` writes them, or a list of COCO's results.")
    if content.get("version") != VERSION:
        raise InputError(f"{file}: must have version {VERSION}, has {content.get('version')}. Update Saccade.")
    scenes, classes = content.get("scenes"), content.get("classes")
    if not isinstance(scenes, dict) or not isinstance(classes, list):
        raise InputError(f"{file}: must have scenes and classes.")
    found = {id: from_json(scene, f"{file}: {id}") for id, scene in scenes.items()}
    return Predicted(found, tuple(map(str, classes)))


def write_detections(
    path: Path,
    classes: tuple[str, ...],
    scenes: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a file of ours; ``scenes`` are from `to_json`, ``about`` is what else it says."""
    content = {"format": FORMAT, "version": VERSION, "classes": list(classes), **(about or {}), "scenes": scenes}
    write_json(path, content)


def to_json(image: Path | str, detections: Detections) -> dict[str, Any]:
    """What our file says of one image."""
    objects = [
        {"name": name, "score": float(score), "box": box.tolist()}
        for name, score, box in zip(detections.names, detections.scores, detections.boxes, strict=True)
    ]
    for item, more in zip(objects, detections.more, strict=bool(detections.more)):
        item["more"] = dict(more)
    size = None if detections.size is None else list(detections.size)
    return {"image": str(image), "size": size, "objects": objects}


def from_json(scene: Any, where: str) -> Detections:
    """The detections of one image.

    Args:
        scene: What our file says of it.
        where: What errors are to call it.

    Raises:
        InputError: If something is missing or has another form.
    """
    try:
        size, objects = scene["size"], scene["objects"]
        columns_rows = None if size is None else (int(size[0]), int(size[1]))
        rows: list[Row] = [
            (str(item["name"]), item["score"], item["box"], dict(item.get("more", {}))) for item in objects
        ]
        return _detections(rows, where, columns_rows)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where}: must be as `saccade predict` writes it ({type(error).__name__}: {error})."
        ) from None


def _is_ours(path: Path) -> bool:
    """The other tasks' folders of predictions have a file of this name too."""
    if not path.is_file():
        return False
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _annotations(folder: Path) -> list[Path]:
    place = folder / OBJECT_FOLDER
    return sorted((place if place.is_dir() else folder).glob("*.xml"))


def _from_voc(paths: list[Path]) -> Predicted:
    found = {}
    for path in paths:
        objects = read_voc_objects(path)
        if any("score" not in item.more for item in objects):
            raise InputError(f"{path}: each object must have a score, how sure its detection is.")
        rows: list[Row] = [(item.name, item.more["score"], item.box, {}) for item in objects]
        found[path.stem] = _detections(rows, str(path))
    return Predicted(found)


def _from_coco(path: Path, content: list[Any], truth: BoxDataset) -> Predicted:
    if truth.layout != "coco":
        raise InputError(f"{path}: COCO's results name images by number, so that {truth.root} must be a COCO data set.")
    images, classes = coco_numbers([truth.root] if truth.root.is_file() else find_coco(truth.root))
    rows: dict[str, list[Row]] = {}
    for number, item in enumerate(content, 1):
        where = f"{path}: entry {number}"
        if not isinstance(item, dict) or not set(item) >= COCO_KEYS or len(_numbers(item["bbox"])) != 4:
            raise InputError(f"{where}: must have image_id, category_id, score and a bbox of four numbers.")
        for key, known in (("image_id", images), ("category_id", classes)):
            if item[key] not in known:
                raise InputError(f"{where}: {key} {item[key]} is not in {truth.root}.")
        x, y, width, height = _numbers(item["bbox"])
        box = (x, y, x + width, y + height)
        rows.setdefault(images[item["image_id"]], []).append((classes[item["category_id"]], item["score"], box, {}))
    found = {id: _detections(of_image, f"{path}: {id}") for id, of_image in rows.items()}
    return Predicted(found, tuple(classes.values()), complete=True)


def _detections(rows: list[Row], where: str, size: tuple[int, int] | None = None) -> Detections:
    """The surest first."""
    scores = _numbers([score for _, score, _, _ in rows])
    boxes = [_numbers(box) for _, _, box, _ in rows]
    lengths = {len(box) for box in boxes}
    if len(scores) < len(rows) or (not lengths <= {4} and not lengths <= {6}):
        raise InputError(f"{where}: each object must have a score, and a box of four finite numbers, of volumes six.")
    for box in boxes:
        if any(low > high for low, high in zip(box[: len(box) // 2], box[len(box) // 2 :], strict=True)):
            shown = ", ".join(f"{value:g}" for value in box)
            raise InputError(f"{where}: a box must have its lower corner first, got ({shown}).")
    array = np.array(boxes, float).reshape(len(boxes), lengths.pop() if lengths else 4)
    order = np.argsort(-np.array(scores, float), kind="stable")
    more = tuple({str(key): str(text) for key, text in rows[n][3].items()} for n in order)
    names = tuple(rows[n][0] for n in order)
    return Detections(array[order], np.array(scores, float)[order], names, more if any(more) else (), size)


def _numbers(values: Any) -> list[float]:
    """Finite numbers; none at all if one is something else."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []
