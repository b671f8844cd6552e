"""Pascal VOC: a folder of pictures, an XML file of objects for each, and lists of which are for what.

Everingham et al. 2010, doi:10.1007/s11263-009-0275-4. Its corners count pixels from 1 and name the first and the last
one inside: xmin = 1, xmax = 1 is one pixel wide, from 0 to 1.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from saccade.data.classification.read import PICTURES
from saccade.data.detection.case import BoxDataset, Object, Scene, names_of, repeated_scenes
from saccade.data.layout_case import Fault
from saccade.errors import InputError
from saccade.files import write_text

PICTURE_FOLDER, OBJECT_FOLDER, LIST_FOLDER = "JPEGImages", "Annotations", "ImageSets"
LISTS = {"train": "train", "val": "validation", "test": "test"}
LIST_OF = {split: name for name, split in LISTS.items()}
CORNERS = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 20_000_000  # bytes of a file of objects
_TAG = re.compile(r"[A-Za-z_][\w.-]*")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_KNOWN = ("name", "difficult", "crowd", "bndbox", "part")


def is_voc(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return (root / OBJECT_FOLDER).is_dir()


def read_voc(root: Path) -> BoxDataset:
    """The scenes of a folder in this layout.

    Raises:
        InputError: If a list names a scene that is not there, or one twice.
    """
    splits = _splits(root)
    scenes, faults = [], []
    for path in sorted((root / OBJECT_FOLDER).glob("*.xml")):
        try:
            tree = _parse(path)
            size, objects = _size(path, tree), tuple(_objects(path, tree))
        except InputError as error:
            faults.append(Fault(path.stem, str(path), "unreadable", "a file of objects", str(error).rstrip(".")))
            continue
        image = _picture(root, path, tree)
        if image is None:
            name = tree.findtext("filename", "").strip() or f"{path.stem}.jpg"
            faults.append(Fault(path.stem, str(root / PICTURE_FOLDER / name), "missing file", "its picture", "none"))
            continue
        scenes.append(Scene(path.stem, image, objects, size, splits.get(path.stem)))
    there = {scene.id for scene in scenes} | {fault.case for fault in faults}
    faults += [
        Fault(id, str(root / OBJECT_FOLDER / f"{id}.xml"), "missing file", "a file of objects, as a list says", "none")
        for id in splits
        if id not in there
    ]
    return BoxDataset(root, "voc", tuple(scenes), names_of(scenes), (*faults, *repeated_scenes(scenes)))


def read_voc_objects(path: Path) -> tuple[Object, ...]:
    """The objects of one file, whether or not its picture is there.

    Raises:
        InputError: If it cannot be read.
    """
    return tuple(_objects(path, _parse(path)))


def write_voc(dataset: BoxDataset, out: Path) -> None:
    """Write the files of objects and the lists; pictures are not copied here.

    Raises:
        InputError: If the boxes are those of volumes, or pictures lie in folders of their own.
    """
    if dataset.dims != 2:
        raise InputError(f"{out}: Pascal VOC holds boxes of pictures, {dataset.root} has those of volumes. Write csv.")
    if deep := next((scene.id for scene in dataset.scenes if "/" in scene.id), None):
        raise InputError(f"{out}: Pascal VOC holds its pictures in one folder, {dataset.root} has {deep}. Write coco.")
    for scene in dataset.scenes:
        write_text(out / OBJECT_FOLDER / f"{scene.id}.xml", _document(scene))
    for split, name in LIST_OF.items():
        ids = [scene.id for scene in dataset.scenes if scene.split == split]
        if ids:
            write_text(out / LIST_FOLDER / "Main" / f"{name}.txt", "".join(f"{id}\n" for id in ids))


def _splits(root: Path) -> dict[str, str]:
    """Which scene is in which part: lists lie in ``ImageSets/Main``, in some data sets in ``ImageSets``."""
    found: dict[str, str] = {}
    for name, split in LISTS.items():
        places = [root / LIST_FOLDER / "Main" / f"{name}.txt", root / LIST_FOLDER / f"{name}.txt"]
        path = next((place for place in places if place.is_file()), None)
        for line in [] if path is None else path.read_text(encoding="utf-8-sig").splitlines():
            if (id := line.strip()) and found.setdefault(id, split) != split:
                raise InputError(f"{path}: {id} must be in one list, is in {found[id]} already.")
    return found


def _parse(path: Path) -> ElementTree.Element:
    """The document of a file; one that declares entities is refused, as these can be made to fill the memory."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: must have at most {LARGEST:,} bytes, has {path.stat().st_size:,}.")
        content = path.read_bytes()
        if b"<!ENTITY" in content or b"<!DOCTYPE" in content:
            raise InputError(f"{path}: must declare no types and entities.")
        return ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: cannot be read as XML ({error}).") from None


def _size(path: Path, tree: ElementTree.Element) -> tuple[int, int] | None:
    size = tree.find("size")
    if size is None:
        return None
    return int(_number(path, size, "width")), int(_number(path, size, "height"))


def _objects(path: Path, tree: ElementTree.Element) -> Iterator[Object]:
    for number, item in enumerate(tree.findall("object"), 1):
        box = item.find("bndbox")
        if box is None:
            raise InputError(f"{path}: object {number} must have a bndbox.")
        x1, y1, x2, y2 = (_number(path, box, corner) for corner in CORNERS)
        more = {child.tag: (child.text or "").strip() for child in item if child.tag not in _KNOWN and not len(child)}
        flags = {flag: item.findtext(flag, "0").strip() == "1" for flag in ("difficult", "crowd")}
        yield Object((x1 - 1, y1 - 1, x2, y2), item.findtext("name", "").strip(), **flags, more=more)


def _number(path: Path, parent: ElementTree.Element, tag: str) -> float:
    text = parent.findtext(tag, "").strip()
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: {tag} must be a number, got '{text}'.") from None


def _picture(root: Path, path: Path, tree: ElementTree.Element) -> Path | None:
    """The picture of a file of objects: by its own name, else by the one that the file gives."""
    folder = root / PICTURE_FOLDER
    named = Path(tree.findtext("filename", "").strip()).name  # never a path that leads elsewhere
    candidates = [folder / f"{path.stem}{suffix}" for suffix in PICTURES] + ([folder / named] if named else [])
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _document(scene: Scene) -> str:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = scene.image.name
    if scene.size is not None:
        size = ElementTree.SubElement(root, "size")
        for tag, value in zip(("width", "height"), scene.size, strict=True):
            ElementTree.SubElement(size, tag).text = str(value)
    for item in scene.objects:
        element = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(element, "name").text = item.name
        for tag, text in item.more.items():
            if _TAG.fullmatch(tag):
                ElementTree.SubElement(element, tag).text = text
        ElementTree.SubElement(element, "difficult").text = str(int(item.difficult))
        if item.crowd:
            ElementTree.SubElement(element, "crowd").text = "1"
        box = ElementTree.SubElement(element, "bndbox")
        x1, y1, x2, y2 = item.box
        for tag, corner in zip(CORNERS, (x1 + 1, y1 + 1, x2, y2), strict=True):
            ElementTree.SubElement(box, tag).text = f"{corner:.15g}"
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode") + "\n"
    if odd := _NOT_XML.search(text):
        raise InputError(f"{scene.image}: XML cannot hold the character {odd[0]!r} of its objects. Write coco.")
    return text
