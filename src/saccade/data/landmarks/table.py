"""A CSV of landmarks: a row for each point (``image, name, x, y[, z]``), or a row for each image with columns
``NAME_x, NAME_y[, NAME_z]``; and the lines that landmarks lie on.

A landmark that is not there has empty coordinates, or in the long form no row.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from saccade.data.classification.case import SPLITS
from saccade.data.classification.read import without_suffix
from saccade.data.classification.table import (
    GROUP_COLUMNS,
    IMAGE_COLUMNS,
    SPLIT_COLUMNS,
    Row,
    locate_image,
    named_column,
    read_rows,
)
from saccade.data.classification.targets import as_number
from saccade.data.landmarks.case import AXES, CentreLine, LandmarkCase, LandmarkDataset, Point
from saccade.data.layout_case import Fault
from saccade.errors import InputError

NAME, HALF_WIDTH = "name", "half_width"
LAYOUT = "landmarks"


@dataclass
class _Found:
    """What the rows of one image say."""

    points: dict[str, Point] = field(default_factory=dict)
    split: str | None = None
    group: str | None = None


def is_point_table(path: Path) -> bool:
    """Whether a file is a table of landmarks, in the long or the wide form."""
    header = _header(path)
    return named_column(header, IMAGE_COLUMNS) is not None and (
        bool(wide_names(header)) or ({NAME, *AXES[:2]} <= set(header) and HALF_WIDTH not in header)
    )


def is_line_table(path: Path) -> bool:
    """Whether a file is a table of the lines that landmarks lie on: ``image, name, x, y[, z], half_width``."""
    header = _header(path)
    return named_column(header, IMAGE_COLUMNS) is not None and {NAME, *AXES[:2], HALF_WIDTH} <= set(header)


def wide_names(header: Sequence[str]) -> list[str]:
    """Names of the landmarks that have columns of their own.

    >>> wide_names(["file", "nose_x", "nose_y", "tail_x", "tail_y", "max_x"])
    ['nose', 'tail']
    """
    names = [column.removesuffix("_x") for column in header if column.endswith("_x") and column != "_x"]
    return [name for name in names if f"{name}_y" in header]


def read_point_table(path: Path, root: Path, lines: Path | None = None) -> LandmarkDataset:
    """The cases of a table.

    Args:
        path: The table.
        root: Of the data set.
        lines: Table of centre lines.

    Raises:
        InputError: If a table cannot be read, a coordinate is no number, or a point has some coordinates only.
    """
    header, rows = read_rows(path)
    image = named_column(header, IMAGE_COLUMNS) or ""
    names = wide_names(header)
    axes = _axes(header, names)
    roles = {"split": named_column(header, SPLIT_COLUMNS), "group": named_column(header, GROUP_COLUMNS)}
    found: dict[str, _Found] = {}
    order: dict[str, None] = dict.fromkeys(names)
    faults: list[Fault] = []
    for number, row in enumerate(rows, 2):
        written = row.get(image, "").strip()
        if not written:
            raise InputError(f"{path}: line {number}: {image} must name an image, is empty.")
        again = written in found
        case = found.setdefault(written, _Found())
        given = _points_of(row, names, axes, path, number)
        for name, point in given.items():
            order.setdefault(name)
            if name in case.points or (names and again):
                where = f"one place of {name} in {written}"
                faults.append(Fault(_id(written), str(path), "duplicate point", where, f"another on line {number}"))
            elif point is not None:
                case.points[name] = point
        part = row.get(roles["split"] or "", "").strip().casefold()
        if part and part not in SPLITS:
            faults.append(Fault(_id(written), str(path), "list", "split: train, validation or test", part))
        case.split = SPLITS.get(part, case.split)
        case.group = row.get(roles["group"] or "", "").strip() or case.group
    along = _read_lines(lines, len(axes)) if lines is not None else {}
    cases = []
    for written, one in found.items():
        source = locate_image(path.parent, written)
        if source is None:
            place = str(path.parent / written)
            faults.append(Fault(_id(written), place, "missing file", f"the image that {path.name} names", "none"))
        else:
            of_case = along.get(_id(written), {})
            cases.append(LandmarkCase(_id(written), source, one.points, one.split, one.group, of_case))
    cases.sort(key=lambda case: case.id)
    faults += [
        Fault(b.id, str(b.source), "duplicate case", "an id of its own", f"that of {a.source}")
        for a, b in pairwise(cases)
        if a.id == b.id
    ]
    return LandmarkDataset(root, LAYOUT, tuple(cases), tuple(order), len(axes), tuple(faults))


def _points_of(row: Row, names: Sequence[str], axes: Sequence[str], path: Path, number: int) -> dict[str, Point | None]:
    """The points of a row; None for those that are not there."""
    if names:
        return {name: _point(row, [f"{name}_{axis}" for axis in axes], path, number) for name in names}
    name = row.get(NAME, "").strip()
    point = _point(row, axes, path, number)
    if not name and point is not None:
        raise InputError(f"{path}: line {number}: a point must have a name, got none.")
    return {name: point} if name else {}


def _point(row: Row, columns: Sequence[str], path: Path, number: int) -> Point | None:
    texts = [row.get(column, "").strip() for column in columns]
    if not any(texts) or all(text.casefold() == "nan" for text in texts):
        return None
    values = [as_number(text) for text in texts]
    known = tuple(value for value in values if value is not None)
    if len(known) < len(values):
        wrong = values.index(None)
        raise InputError(f"{path}: line {number}: {columns[wrong]} must be a number, got '{texts[wrong]}'.")
    return known


def _read_lines(path: Path, dims: int) -> Mapping[str, dict[str, CentreLine]]:
    """Case -> landmark -> its line; the rows of a line are its vertices in order."""
    header, rows = read_rows(path)
    image = named_column(header, IMAGE_COLUMNS) or ""
    vertices: dict[tuple[str, str], list[Point]] = defaultdict(list)
    widths: dict[tuple[str, str], float] = {}
    for number, row in enumerate(rows, 2):
        point = _point(row, [*AXES[:dims], HALF_WIDTH], path, number)
        if point is None:
            raise InputError(f"{path}: line {number}: a vertex must have a place and a {HALF_WIDTH}, got none.")
        key = _id(row.get(image, "").strip()), row.get(NAME, "").strip()
        vertices[key].append(point[:-1])
        widths[key] = point[-1]
    found: dict[str, dict[str, CentreLine]] = defaultdict(dict)
    for (case, name), points in vertices.items():
        if len(points) < 2:
            raise InputError(f"{path}: a line must have two vertices or more, {name} of {case} has one.")
        found[case][name] = CentreLine(tuple(points), widths[case, name])
    return found


def _axes(header: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """x and y, or all three where every landmark has a z."""
    third = all(f"{name}_z" in header for name in names) if names else "z" in header
    return AXES if third else AXES[:2]


def _header(path: Path) -> list[str]:
    try:
        return read_rows(path)[0]
    except InputError:
        return []


def _id(written: str) -> str:
    return without_suffix(written.lstrip("/"))
