"""Find the scenes of a folder, whatever the layout."""

from pathlib import Path

from saccade.data.detection.case import BoxDataset
from saccade.data.detection.coco import find_coco, is_coco, read_coco
from saccade.data.detection.table import is_box_table, read_box_table
from saccade.data.detection.voc import is_voc, read_voc
from saccade.errors import InputError

SUPPORTED = (
    "Annotations/*.xml with JPEGImages (Pascal VOC), a JSON of images, annotations and categories (COCO), or a CSV of "
    "image, x1, y1, x2, y2, class (of volumes x1, y1, z1, x2, y2, z2 in mm)"
)


def find_box_dataset(root: Path | str) -> BoxDataset:
    """The scenes of a folder or file.

    Raises:
        InputError: If nothing is there, no layout fits, or anything in the files of objects is wrong.
    """
    dataset = scan_box_dataset(root)
    for fault in dataset.faults:
        raise InputError(f"{fault} See all faults with: saccade data check {root}")
    return dataset


def scan_box_dataset(root: Path | str) -> BoxDataset:
    """As `find_box_dataset`, but with what is wrong in ``faults`` and no image opened.

    Raises:
        InputError: If nothing is there or no layout fits.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder.")
    if root.is_dir() and is_voc(root):
        return read_voc(root)
    coco = [root] if root.is_file() and is_coco(root) else find_coco(root) if root.is_dir() else []
    if coco:
        return read_coco(coco, root)
    tables = _tables(root)
    if len(tables) > 1:
        raise InputError(
            f"{root}: must hold one table of boxes, got {', '.join(p.name for p in tables)}. Give the file."
        )
    if not tables:
        got = "an empty folder" if root.is_dir() and not any(root.iterdir()) else "none of these"
        raise InputError(f"{root}: must hold {SUPPORTED}; got {got}.")
    return read_box_table(tables[0], root)


def is_box_dataset(root: Path | str) -> bool:
    """Whether a folder or file is one of images with boxes."""
    root = Path(root)
    if root.is_file():
        return bool(_tables(root)) or (root.suffix.lower() == ".json" and is_coco(root))
    return root.is_dir() and (is_voc(root) or bool(_tables(root)) or bool(find_coco(root)))


def _tables(root: Path) -> list[Path]:
    paths = [root] if root.is_file() else sorted(root.glob("*.csv"))
    return [path for path in paths if path.suffix.lower() == ".csv" and is_box_table(path)]
