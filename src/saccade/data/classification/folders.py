"""Class folders: the name of the folder that an image lies in is its class."""

from collections import Counter
from pathlib import Path

from saccade.data.classification.case import SPLITS, Case, ImageDataset
from saccade.data.classification.read import is_image, is_picture, without_suffix
from saccade.data.layout_case import Fault

COLUMN = "class"
# folders of scans and of label maps, which are a segmentation's
_OF_PAIRS = {"images", "image", "imgs", "img", "scans", "labels", "label", "masks", "mask", "segmentations", "seg"}
_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".webp", ".avif", ".heic", ".jp2", ".ppm", ".pgm")


def find_class_folders(root: Path) -> ImageDataset | None:
    """``CLASS/image.png``, also below ``train/``, ``val/`` and ``test/``; None where no folder has an image."""
    folders = _folders(root)
    split = {folder: SPLITS.get(folder.name.casefold()) for folder in folders}
    if folders and all(split.values()):
        parts = [(folder, name, f"{folder.name}/") for folder, name in split.items()]
    elif {folder.name.casefold() for folder in folders} <= _OF_PAIRS:
        return None
    else:
        parts = [(root, None, "")]
    cases: list[Case] = []
    faults: list[Fault] = []
    for part, name, prefix in parts:
        for folder in _folders(part):
            images = sorted(path for path in folder.rglob("*") if is_image(path) and _is_visible(path, root))
            faults += _unreadable(folder, root)
            if not images:
                faults.append(Fault("", str(folder), "empty class", "an image of this class", "none"))
            for path in images:
                id = f"{prefix}{without_suffix(path.relative_to(part))}"
                cases.append(Case(id, path, (folder.name,), name))
    if not cases:
        return None
    faults += repeated_ids(cases)
    return ImageDataset(root, "class folders", tuple(cases), (COLUMN,), tuple(faults))


def find_images(root: Path) -> ImageDataset | None:
    """Images without a target: all pictures and volumes below a folder; None where there are none."""
    images = sorted(path for path in root.rglob("*") if is_image(path) and path.is_file() and _is_visible(path, root))
    if not images:
        return None
    cases = tuple(Case(without_suffix(path.relative_to(root)), path) for path in images)
    return ImageDataset(root, "images", cases, (), faults=tuple(repeated_ids(cases)))


def holds_picture_classes(root: Path) -> bool:
    """Whether a folder has class folders with pictures in them, which no segmentation has."""
    found = find_class_folders(root)
    return found is not None and any(is_picture(case.file) for case in found.cases)


def repeated_ids(cases: list[Case] | tuple[Case, ...]) -> list[Fault]:
    """A fault for each case whose id another case has."""
    counts = Counter(case.id for case in cases)
    return [
        Fault(case.id, str(case.source), "duplicate case", "an id of its own", "another case of this id")
        for case in cases
        if counts[case.id] > 1
    ]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _is_visible(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _unreadable(folder: Path, root: Path) -> list[Fault]:
    return [
        Fault("", str(path), "unreadable", "PNG, JPEG, BMP or a volume", path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _OTHER_PICTURES and _is_visible(path, root)
    ]
