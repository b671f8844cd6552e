"""A CSV with a row for each box: ``image, x1, y1, x2, y2, class``, or of volumes ``x1, y1, z1, x2, y2, z2`` in mm."""

import csv
import io
from pathlib import Path

from saccade.data.classification.case import SPLITS
from saccade.data.classification.read import is_image, without_suffix
from saccade.data.classification.table import read_rows
from saccade.data.classification.targets import as_number
from saccade.data.detection.case import AXES, BoxDataset, Object, Scene, names_of, repeated_scenes
from saccade.data.layout_case import Fault
from saccade.errors import InputError
from saccade.files import write_text

FILE = "boxes.csv"
IMAGE, CLASS, SPLIT, FLAGS = "image", "class", "split", ("difficult", "crowd")


def corners_of(dims: int) -> list[str]:
    """Names of the columns of a box.

    >>> corners_of(3)
    ['x1', 'y1', 'z1', 'x2', 'y2', 'z2']
    """
    return [f"{axis}{end}" for end in (1, 2) for axis in AXES[:dims]]


def is_box_table(path: Path) -> bool:
    """Whether a file is one of this kind."""
    try:
        header = read_rows(path)[0]
    except InputError:
        return False
    return {IMAGE, CLASS, *corners_of(2)} <= set(header)


def read_box_table(path: Path, root: Path) -> BoxDataset:
    """The scenes of a table; a row without corners and class names an image without objects.

    Raises:
        InputError: If the table cannot be read, or a corner is no number.
    """
    header, rows = read_rows(path)
    columns = corners_of(3 if "z1" in header else 2)
    for column in (IMAGE, CLASS, *columns):
        if column not in header:
            raise InputError(f"{path}: must have a column {column}, has {', '.join(header)}.")
    rest = [column for column in header if column not in (IMAGE, CLASS, SPLIT, *FLAGS, *columns) and column]
    found: dict[str, tuple[list[Object], str | None]] = {}
    for number, row in enumerate(rows, 2):
        objects, split = found.setdefault(row[IMAGE].strip(), ([], SPLITS.get(row.get(SPLIT, "").strip().casefold())))
        texts = [row.get(column, "").strip() for column in columns]
        if not any((*texts, row.get(CLASS, "").strip())):
            continue
        box = [as_number(text) for text in texts]
        corners = [value for value in box if value is not None]
        if len(corners) < len(box):
            wrong = columns[box.index(None)]
            raise InputError(f"{path}: line {number}: {wrong} must be a number, got '{row.get(wrong, '')}'.")
        flags = {flag: row.get(flag, "").strip() == "1" for flag in FLAGS}
        more = {column: row[column] for column in rest if row.get(column)}
        objects.append(Object(tuple(corners), row.get(CLASS, "").strip(), **flags, more=more))
    scenes, faults = [], []
    for written, (objects, split) in found.items():
        image = _locate(path.parent, written)
        id = without_suffix(written) if written else ""
        if image is None:
            faults.append(Fault(id, str(path.parent / written), "missing file", f"the image of {path.name}", "none"))
        else:
            scenes.append(Scene(id, image, tuple(objects), None, split))
    ordered = tuple(sorted(scenes, key=lambda scene: scene.id))
    return BoxDataset(root, "table", ordered, names_of(scenes), (*faults, *repeated_scenes(scenes)))


def write_box_table(dataset: BoxDataset, out: Path) -> None:
    """Write ``boxes.csv``; images are not copied here."""
    columns = corners_of(dataset.dims)
    rest = list(dict.fromkeys(key for scene in dataset.scenes for item in scene.objects for key in item.more))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([IMAGE, *columns, CLASS, *FLAGS, SPLIT, *rest])
    for scene in dataset.scenes:
        name = f"{scene.id}{''.join(_suffix(scene.image))}"
        if not scene.objects:
            writer.writerow([name, *[""] * (len(columns) + 1 + len(FLAGS)), scene.split or "", *[""] * len(rest)])
        for item in scene.objects:
            flags = [int(item.difficult), int(item.crowd)]
            more = [item.more.get(key, "") for key in rest]
            writer.writerow([name, *(f"{v:.15g}" for v in item.box), item.name, *flags, scene.split or "", *more])
    write_text(out / FILE, text.getvalue())


def _suffix(path: Path) -> str:
    """The suffix of an image, which may be a double one."""
    return path.name.removeprefix(Path(without_suffix(path.name)).name)


def _locate(base: Path, written: str) -> Path | None:
    """The image that a row names, below the table or its ``images``, never elsewhere."""
    if not written or "\0" in written or Path(written).is_absolute() or ".." in Path(written).parts:
        return None
    candidates = [base / folder / written for folder in ("", "images")]
    return next((place for place in candidates if is_image(place) and place.is_file()), None)
