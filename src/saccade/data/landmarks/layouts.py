"""Find the landmarks of a folder or file."""

from pathlib import Path

from saccade.data.landmarks.case import LandmarkDataset
from saccade.data.landmarks.markups import find_markups, scan_markups
from saccade.data.landmarks.table import is_line_table, is_point_table, read_point_table
from saccade.errors import InputError

SUPPORTED = (
    "a CSV of landmarks: image, name, x, y (of volumes z too) with a row for each point, or a row for each image with "
    "columns NAME_x, NAME_y; or beside each volume the points of 3D Slicer, IMAGE.mrk.json or IMAGE.fcsv"
)


def find_landmark_dataset(root: Path | str) -> LandmarkDataset:
    """The cases of a folder or file.

    Raises:
        InputError: If nothing is there, there is no table or several, or anything in the tables is wrong.
    """
    dataset = scan_landmark_dataset(root)
    for fault in dataset.faults:
        raise InputError(f"{fault} See all faults with: saccade data check {root}")
    return dataset


def scan_landmark_dataset(root: Path | str) -> LandmarkDataset:
    """As `find_landmark_dataset`, but with what is wrong in ``faults`` and no image opened.

    Raises:
        InputError: If nothing is there, there is no table or several, a file cannot be read, or a coordinate is no
            number.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder.")
    tables = _tables(root)
    if not tables and (files := find_markups(root)):
        return scan_markups(files, root)
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{root}: must hold one table of landmarks, got {names}. Give the file.")
    if not tables:
        got = "an empty folder" if root.is_dir() and not any(root.iterdir()) else "none of these"
        raise InputError(f"{root}: must hold {SUPPORTED}; got {got}.")
    lines = [path for path in sorted(tables[0].parent.glob("*.csv")) if is_line_table(path)]
    return read_point_table(tables[0], root, lines[0] if lines else None)


def is_landmark_dataset(root: Path | str) -> bool:
    """Whether a folder or file is one of images with landmarks."""
    return bool(_tables(Path(root)) or find_markups(Path(root)))


def _tables(root: Path) -> list[Path]:
    paths = [root] if root.is_file() else sorted(root.glob("*.csv")) if root.is_dir() else []
    return [path for path in paths if path.suffix.lower() == ".csv" and is_point_table(path)]
