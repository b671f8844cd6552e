"""COCO: one JSON file of images, classes and boxes (x, y, width, height). Lin et al. 2014, arXiv:1405.0312."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.data.classification.read import is_image, without_suffix
from saccade.data.detection.case import BoxDataset, Object, Scene, repeated_scenes
from saccade.data.layout_case import Fault
from saccade.errors import InputError
from saccade.files import read_json, write_json

PARTS = ("images", "annotations", "categories")
SPLITS = {"train": "train", "val": "validation", "test": "test"}
FOLDERS = ("", "images", "train2017", "val2017", "test2017", "train", "val", "test")
_KNOWN = ("id", "image_id", "category_id", "bbox", "iscrowd", "difficult")


def find_coco(root: Path) -> list[Path]:
    """The files of this kind in a folder or its ``annotations``."""
    places = [*root.glob("*.json"), *(root / "annotations").glob("*.json")]
    return [path for path in sorted(places) if is_coco(path)]


def is_coco(path: Path) -> bool:
    """Whether a file is one of this kind."""
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)


def read_coco(paths: list[Path], root: Path) -> BoxDataset:
    """The scenes of files of this kind; of several, each is the part that its name says (``instances_val2017.json``).

    Raises:
        InputError: If a file has another form, or two files have other classes.
    """
    scenes, faults, names = [], [], None
    for path in paths:
        content = read_json(path)
        try:
            classes = {int(item["id"]): str(item["name"]) for item in content["categories"]}
            split = _split(path) if len(paths) > 1 else None
            found, wrong = _scenes(path, content, classes, split)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: must be of COCO's form, but is not ({type(error).__name__}: {error}).") from None
        if names is not None and tuple(classes.values()) != names:
            raise InputError(f"{path}: must have the same classes as {paths[0]}.")
        names = tuple(classes.values())
        scenes += found
        faults += wrong
    ordered = tuple(sorted(scenes, key=lambda scene: scene.id))
    return BoxDataset(root, "coco", ordered, names or (), (*faults, *repeated_scenes(scenes)))


def coco_numbers(paths: list[Path]) -> tuple[dict[int, str], dict[int, str]]:
    """How files of this kind count: number -> scene, and number -> class."""
    contents = [read_json(path) for path in paths]
    images = {int(item["id"]): without_suffix(str(item["file_name"])) for found in contents for item in found["images"]}
    return images, {int(item["id"]): str(item["name"]) for found in contents for item in found["categories"]}


def write_coco(dataset: BoxDataset, out: Path) -> None:
    """Write one file for each part, or one for all; pictures are not copied here.

    Raises:
        InputError: If the boxes are those of volumes.
    """
    if dataset.dims != 2:
        raise InputError(f"{out}: COCO holds boxes of pictures, {dataset.root} has those of volumes. Write csv.")
    splits = sorted({scene.split for scene in dataset.scenes if scene.split})
    if not splits:
        write_json(out / "annotations.json", _content(dataset, list(dataset.scenes)))
        return
    names = {split: name for name, split in SPLITS.items()}
    for split in splits:
        part = [scene for scene in dataset.scenes if scene.split == split]
        write_json(out / "annotations" / f"instances_{names[split]}.json", _content(dataset, part))


def _split(path: Path) -> str | None:
    return next((split for name, split in SPLITS.items() if name in path.stem.casefold()), None)


def _scenes(
    path: Path, content: Mapping[str, Any], classes: Mapping[int, str], split: str | None
) -> tuple[list[Scene], list[Fault]]:
    faults: list[Fault] = []
    objects: dict[int, list[Object]] = {}
    known, seen = {int(item["id"]) for item in content["images"]}, set()
    for item in content["annotations"]:
        number, image = int(item["id"]), int(item["image_id"])
        case = f"annotation {number}"
        if number in seen:
            faults.append(Fault(case, str(path), "duplicate case", "an id of its own", "that of another one"))
        seen.add(number)
        if image not in known:
            faults.append(Fault(case, str(path), "missing image", "an image of the file", f"image_id {image}"))
            continue
        name = classes.get(int(item["category_id"]))
        if name is None:
            found = f"category_id {item['category_id']}"
            faults.append(Fault(case, str(path), "unknown class", f"one of {', '.join(classes.values())}", found))
            continue
        x, y, width, height = (float(value) for value in item["bbox"])
        more = {key: json.dumps(value) for key, value in item.items() if key not in _KNOWN}
        flags = {"difficult": bool(item.get("difficult", 0)), "crowd": bool(item.get("iscrowd", 0))}
        objects.setdefault(image, []).append(Object((x, y, x + width, y + height), name, **flags, more=more))
    scenes = []
    for item in content["images"]:
        written = str(item["file_name"])
        id = without_suffix(written)
        image_path = _locate(path, written)
        if image_path is None:
            faults.append(
                Fault(id, str(path.parent / written), "missing file", f"the image that {path.name} names", "none")
            )
            continue
        size = (int(item["width"]), int(item["height"])) if "width" in item and "height" in item else None
        scenes.append(Scene(id, image_path, tuple(objects.get(int(item["id"]), ())), size, split))
    return scenes, faults


def _locate(path: Path, written: str) -> Path | None:
    """The image that a file names, below its folder or that folder's parent, never elsewhere."""
    if not written.strip() or "\0" in written or Path(written).is_absolute() or ".." in Path(written).parts:
        return None
    bases = [path.parent, path.parent.parent] if path.parent.name == "annotations" else [path.parent]
    candidates = [base / folder / written for base in bases for folder in FOLDERS]
    return next((place for place in candidates if is_image(place) and place.is_file()), None)


def _content(dataset: BoxDataset, scenes: list[Scene]) -> dict[str, Any]:
    numbers = {name: number for number, name in enumerate(dataset.names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        size = {} if scene.size is None else {"width": scene.size[0], "height": scene.size[1]}
        images.append({"id": number, "file_name": f"{scene.id}{scene.image.suffix}", **size})
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            more = {key: _value(text) for key, text in item.more.items()}
            annotations.append(
                {
                    **more,
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": numbers[item.name],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": more.get("area", (x2 - x1) * (y2 - y1)),
                    "iscrowd": int(item.crowd),
                    **({"difficult": 1} if item.difficult else {}),
                }
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
