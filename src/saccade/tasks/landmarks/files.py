"""Predicted landmarks on disk: ``points.json`` with everything, and ``points.csv`` with a row for each landmark."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.classification.read import without_suffix
from saccade.data.classification.table import IMAGE_COLUMNS, named_column, read_rows
from saccade.data.classification.targets import as_number
from saccade.data.landmarks.case import AXES, Point
from saccade.data.landmarks.markups import find_markups, image_name, read_markups
from saccade.data.landmarks.table import HALF_WIDTH, NAME, wide_names
from saccade.errors import InputError
from saccade.files import read_json, write_json, write_text
from saccade.tasks.landmarks.predictor import Landmarks

JSON, CSV = "points.json", "points.csv"
FORMAT, VERSION = "saccade-landmarks", 1
CASE = "case"
Points = dict[str, dict[str, Point]]


def to_json(source: Path | str, found: Landmarks) -> dict[str, Any]:
    """One image of ``points.json``."""
    rows = zip(found.names, found.points.tolist(), found.scores.tolist(), found.labels, strict=True)
    return {
        "image": str(source),
        "size": found.size,
        "points": [
            {NAME: name, "point": None if label == "missing" else point, "score": score, "label": label}
            for name, point, score, label in rows
        ],
    }


def from_json(values: Any, where: str) -> Landmarks:
    """The reverse of `to_json`.

    Raises:
        InputError: If it is something else.
    """
    try:
        rows = values["points"]
        dims = max((len(row["point"]) for row in rows if row["point"] is not None), default=2)
        points = [[float("nan")] * dims if row["point"] is None else row["point"] for row in rows]
        return Landmarks(
            tuple(str(row[NAME]) for row in rows),
            np.array(points, float).reshape(-1, dims),
            np.array([float(row["score"]) for row in rows]),
            tuple(str(row["label"]) for row in rows),
            None if values["size"] is None else (int(values["size"][0]), int(values["size"][1])),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{where}: must hold landmarks as saccade predict writes them ({error!r}).") from None


def write_points(
    found: Mapping[str, Landmarks], sources: Mapping[str, Path], out: Path, about: Mapping[str, Any] | None = None
) -> None:
    """Write ``points.csv``, then ``points.json``, each whole.

    Args:
        found: Case -> its landmarks.
        sources: Case -> its image.
        out: The folder.
        about: What else ``points.json`` shall say.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    dims = max((one.points.shape[1] for one in found.values()), default=2)
    writer.writerow([CASE, NAME, *AXES[:dims], "score", "label"])
    for id, one in found.items():
        for name, point, score, label in zip(one.names, one.points, one.scores, one.labels, strict=True):
            written = [""] * dims if label == "missing" else [f"{value:.3f}" for value in point]
            writer.writerow([id, name, *written, f"{score:.4f}", label])
    write_text(out / CSV, text.getvalue())
    cases = {id: to_json(sources[id], one) for id, one in found.items()}
    write_json(out / JSON, {"format": FORMAT, "version": VERSION, **(about or {}), "cases": cases})


def is_points(path: Path) -> bool:
    """Whether a path is a file of predicted landmarks, or a folder with one or with files of 3D Slicer's."""
    if path.is_dir() and find_markups(path):
        return True
    path = _file_in(path)
    if path.suffix.lower() == ".json" and path.is_file():
        try:
            content = read_json(path)
        except InputError:
            return False
        return isinstance(content, dict) and content.get("format") == FORMAT
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        header = read_rows(path)[0]
    except InputError:
        return False
    if "prediction" in header:  # a classification's, whose p_x and p_y could be those of a landmark p
        return False
    named = named_column(header, (CASE, *IMAGE_COLUMNS)) is not None
    long = {NAME, *AXES[:2]} <= set(header) and HALF_WIDTH not in header
    return named and (long or bool(wide_names(header)))


def read_points(path: Path) -> Points:
    """Case -> landmark -> point, of those that are there; any table of landmarks and any folder of
    3D Slicer's files will do, whatever tool made it.

    Raises:
        InputError: If it cannot be read, a coordinate is no number, or a landmark of a case is there twice.
    """
    if path.is_dir() and not _file_in(path).is_file():
        return {image_name(file): read_markups(file) for file in find_markups(path)}
    path = _file_in(path)
    if path.suffix.lower() == ".json":
        cases = read_json(path).get("cases")
        if not isinstance(cases, dict):
            raise InputError(f"{path}: must have cases, has none.")
        return {str(id): from_json(values, f"{path}: {id}").as_dict() for id, values in cases.items()}
    header, rows = read_rows(path)
    column = named_column(header, (CASE, *IMAGE_COLUMNS)) or CASE
    names = wide_names(header)
    third = all(f"{name}_z" in header for name in names) if names else "z" in header
    axes = AXES if third else AXES[:2]
    found: Points = {}
    for number, row in enumerate(rows, 2):
        case = found.setdefault(without_suffix(row.get(column, "").strip()), {})
        columns = {n: [f"{n}_{a}" for a in axes] for n in names} or {row.get(NAME, "").strip(): list(axes)}
        for name, of_axes in columns.items():
            texts = [row.get(axis, "").strip() for axis in of_axes]
            if not any(texts):
                continue
            values = [as_number(text) for text in texts]
            known = tuple(value for value in values if value is not None)
            if len(known) < len(values):
                wrong = values.index(None)
                raise InputError(f"{path}: line {number}: {of_axes[wrong]} must be a number, got '{texts[wrong]}'.")
            if name in case:
                raise InputError(f"{path}: line {number}: each landmark must have one row a case, got {name} again.")
            case[name] = known
    return found


def _file_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    return path / JSON if (path / JSON).is_file() else path / CSV
