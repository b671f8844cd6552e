"""Landmarks as 3D Slicer keeps them: beside each volume its points, ``<image>.mrk.json`` or the older ``<image>.fcsv``.

The formats: https://slicer.readthedocs.io/en/latest/developer_guide/modules/markups.html. Files are in LPS+ or RAS+ and
must say so, as a guess would put left for right; points here are RAS+.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from saccade.data.classification.table import locate_image
from saccade.data.landmarks.case import LandmarkCase, LandmarkDataset, Point
from saccade.data.layout_case import Fault
from saccade.errors import InputError
from saccade.files import read_json, write_json

JSON, CSV = ".mrk.json", ".fcsv"
LAYOUT = "markups"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.0.json#"
)
SIGNS = {"RAS": (1, 1, 1), "0": (1, 1, 1), "LPS": (-1, -1, 1), "1": (-1, -1, 1)}  # older files have the numbers
COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"  # where a file does not name them
OF_LABELS = ("labels", "labelsTr", "dataset.json")  # in a folder of a segmentation, where points are by the way
Points = dict[str, Point | None]


def find_markups(root: Path) -> list[Path]:
    """The files of points in a folder or its folders, or the file itself; none where there are label maps too."""
    if root.is_file():
        return [root] if root.name.lower().endswith((JSON, CSV)) else []
    if not root.is_dir() or any((root / name).exists() for name in OF_LABELS):
        return []
    return sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern) if image_name(path))


def image_name(path: Path) -> str:
    """What a file of points is called without its suffix, which is what its image is called; empty for other files.

    >>> image_name(Path("a/knee.mrk.json")), image_name(Path("a/knee.json"))
    ('knee', '')
    """
    suffix = next((suffix for suffix in (JSON, CSV) if path.name.lower().endswith(suffix)), None)
    return "" if suffix is None else path.name[: -len(suffix)]


def scan_markups(files: Sequence[Path], root: Path) -> LandmarkDataset:
    """The cases of files of points, with what is wrong in ``faults``.

    Args:
        files: From `find_markups`.
        root: Of the data set.

    Raises:
        InputError: If a file cannot be read.
    """
    cases, faults = [], []
    order: dict[str, None] = {}
    for path in files:
        id = image_name(path)
        points, again = _read(path)
        order |= dict.fromkeys(points)
        faults += [Fault(id, str(path), "duplicate point", f"one place of {name}", "another") for name in again]
        source = locate_image(path.parent, id) or locate_image(path.parent.parent, id)
        if source is None:
            faults.append(Fault(id, str(path), "missing file", f"an image called {id}", "none"))
            continue
        there = {name: point for name, point in points.items() if point is not None}
        cases.append(LandmarkCase(id, source, there))
    cases.sort(key=lambda case: case.id)
    faults += [
        Fault(b.id, str(b.source), "duplicate case", "an id of its own", f"that of {a.source}")
        for a, b in pairwise(cases)
        if a.id == b.id
    ]
    return LandmarkDataset(root, LAYOUT, tuple(cases), tuple(order), 3, tuple(faults))


def read_markups(path: Path) -> dict[str, Point]:
    """Name -> place in RAS+ mm, of the points that have one.

    Raises:
        InputError: If the file cannot be read, or has a name twice.
    """
    points, again = _read(path)
    if again:
        raise InputError(f"{path}: each landmark must be there once, got {', '.join(again)} again.")
    return {name: point for name, point in points.items() if point is not None}


def write_markups(path: Path, points: Mapping[str, Point], about: Mapping[str, str]) -> None:
    """Write points that Slicer opens.

    Args:
        path: The file, ``.mrk.json``.
        points: Name -> place in RAS+ mm.
        about: Name -> what is said of the point.
    """
    written = [
        {
            "id": str(number),
            "label": name,
            "description": about.get(name, ""),
            "position": [s * v for s, v in zip(SIGNS["LPS"], point, strict=True)],
            "positionStatus": "defined",
        }
        for number, (name, point) in enumerate(points.items(), 1)
    ]
    fiducials = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": written}
    write_json(path, {"@schema": SCHEMA, "markups": [fiducials]})


def _read(path: Path) -> tuple[Points, list[str]]:
    """Points in RAS+ mm, None where one is not placed; and the names that are there again."""
    rows = _rows_of_json(path) if path.name.lower().endswith(JSON) else _rows_of_csv(path)
    points: Points = {}
    again = []
    for name, values, system in rows:
        if not name:
            raise InputError(f"{path}: a point must have a name, got none.")
        if system not in SIGNS:
            raise InputError(f"{path}: must say that its coordinates are LPS or RAS, got {system or 'nothing'}.")
        if name in points:
            again.append(name)
            continue
        points[name] = _point(values, SIGNS[system], f"{path}: {name}")
    return points, again


def _point(values: Any, signs: Sequence[int], where: str) -> Point | None:
    if values is None:
        return None
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != len(signs) or not all(map(isfinite, numbers)):
        raise InputError(f"{where}: must have three numbers, got {values}.")
    return tuple(sign * number for sign, number in zip(signs, numbers, strict=True))


def _rows_of_json(path: Path) -> list[tuple[str, Any, str]]:
    """Name, place and system of each point."""
    try:
        lists = [one for one in read_json(path)["markups"] if one["type"] == "Fiducial"]
        if not lists:
            raise InputError(f"{path}: must have a list of points (Fiducial), has none.")
        return [
            (
                str(point.get("label", "")).strip(),
                point["position"] if point.get("positionStatus", "defined") == "defined" else None,
                str(one.get("coordinateSystem", "")),
            )
            for one in lists
            for point in one["controlPoints"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: must be markups as 3D Slicer writes them, but is not ({error!r}).") from None


def _rows_of_csv(path: Path) -> list[tuple[str, Any, str]]:
    """As of the JSON file; what stands in comments above the rows says how to read them."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: must be text that can be read, but is not ({error}).") from None
    said = dict(line.lstrip("# ").split("=", 1) for line in lines if line.startswith("#") and "=" in line)
    about = {key.strip(): value.strip() for key, value in said.items()}
    columns = about.get("columns", COLUMNS).split(",")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        row = dict(zip(columns, line.split(","), strict=False))
        if not {"x", "y", "z", "label"} <= set(row):
            raise InputError(f"{path}: line {number}: must have {','.join(columns)}, got {line.strip()}.")
        found.append((row["label"].strip(), [row[axis] for axis in "xyz"], about.get("CoordinateSystem", "")))
    return found
