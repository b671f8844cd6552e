"""Data sets given as a list: a CSV (image, label, split, id, labelled) or a JSON with training/validation/testing."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.data.layout_case import Case, Dataset, Fault
from saccade.data.layout_folders import Collected
from saccade.data.layout_labels import channels_of, modality_of, parse_label_names
from saccade.data.layout_names import case_id, match_key, stem
from saccade.data.partial import FILE as PARTIAL
from saccade.data.partial import written_classes
from saccade.errors import InputError
from saccade.files import read_json

_SPLITS = {
    "": None,
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_IMAGE_COLUMN = re.compile(r"image_?\d*")
_LIST_NAMES = ("cases", "datalist", "dataset", "list", "split", "splits")
_FORM = "columns image, label, split, id, or lists training, validation, testing of {image, label}"


@dataclass(frozen=True)
class _Row:
    images: tuple[str, ...]
    label: str
    split: str
    id: str
    labelled: tuple[str, ...] | None = None


def list_files(root: Path) -> tuple[list[Path], list[Fault]]:
    """The case lists in a folder, and a fault for each file that is named like one but cannot be read."""
    lists, faults = [], []
    for path in sorted(root.iterdir()):
        if (
            path.suffix.lower() not in (".csv", ".json")
            or path.name.startswith(".")
            or path.name in ("labels.json", PARTIAL)
        ):
            continue
        try:
            if _rows(path) is not None:
                lists.append(path)
        except InputError as error:
            if path.stem.lower() in _LIST_NAMES:
                faults.append(Fault("", str(path), "list", _FORM, str(error)))
    return lists, faults


def read_list(path: Path, root: Path) -> Dataset:
    """The data set that a list describes; its paths are relative to the list's folder.

    Raises:
        InputError: If the file cannot be read or is no list of cases.
    """
    rows = _rows(path)
    if rows is None:
        raise InputError(f"{path}: a list of cases must have {_FORM}, got neither.")
    collected, content = Collected(), read_json(path) if path.suffix.lower() == ".json" else {}
    content = content if isinstance(content, dict) else {}
    ids = _ids(rows)
    for row, id in zip(rows, ids, strict=True):
        _add(collected, row, id, path, any(other.label for other in rows))
    names: dict[int, str] = {}
    if "labels" in content:
        try:
            names = parse_label_names(str(path), content["labels"], content.get("regions_class_order"))
        except InputError as error:
            collected.faults.append(Fault("", str(path), "list", "label names", str(error)))
    channels = channels_of(content)
    collected.check_channels(None)
    declared = {id: row.labelled for id, row in zip(ids, rows, strict=True) if row.labelled is not None}
    cases, faults = tuple(collected.cases), tuple(collected.faults)
    return Dataset(root, "list", cases, names, channels, modality_of(channels), faults, declared)


def _add(collected: Collected, row: _Row, id: str, path: Path, labels_known: bool) -> None:
    split = _SPLITS.get(row.split.casefold(), row.split)
    if split not in _SPLITS.values():
        collected.faults.append(Fault(id, str(path), "list", "split train, validation or test", repr(row.split)))
        split = None
    images = tuple(path.parent / name for name in row.images)
    label = path.parent / row.label if row.label else None
    gone = [file for file in (*images, *([label] if label else [])) if not file.exists()]
    for file in gone:
        collected.faults.append(Fault(id, str(file), "missing file", f"the file that {path.name} names", "none"))
    if not images:
        collected.faults.append(Fault(id, str(path), "list", "an image in every row", "none"))
    if not images or any(image in gone for image in images):
        return
    if any(match_key(case.id) == match_key(id) for case in collected.cases):
        collected.faults.append(Fault(id, str(images[0]), "duplicate case", "each case once", "a second one"))
        return
    if label is None and labels_known and split != "test":
        collected.faults.append(Fault(id, str(images[0]), "missing label", f"a label in {path.name}", "none"))
    collected.cases.append(Case(id, images, None if label in gone else label, split))


def _ids(rows: list[_Row]) -> list[str]:
    """The given id, or the file's stem; with its folder's name where different files share the stem."""
    images = [row.images[0] if row.images else row.label for row in rows]
    files: dict[str, set[str]] = {}
    for image in images:
        files.setdefault(stem(image), set()).add(image)
    return [
        row.id
        or ("_".join([*Path(image).parent.parts[-1:], stem(image)]) if len(files[stem(image)]) > 1 else stem(image))
        for row, image in zip(rows, images, strict=True)
    ]


def _rows(path: Path) -> list[_Row] | None:
    """The rows of the list, or None when the file is something else."""
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(read_json(path))
    if rows is None:
        return None
    return list(rows)


def _csv_rows(path: Path) -> list[_Row] | None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}).") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    columns = {name.strip().casefold(): name for name in reader.fieldnames or [] if name}
    images = [name for key, name in columns.items() if _IMAGE_COLUMN.fullmatch(key)]
    if not images:
        return None
    rows = []
    for line in _lines(reader, path):
        cell = {key: (line.get(name) or "").strip() for key, name in columns.items()}
        files = tuple(value for name in images if (value := (line.get(name) or "").strip()))
        labelled = written_classes(cell.get("labelled", ""))
        rows.append(_Row(files, cell.get("label", ""), cell.get("split", ""), cell.get("id", ""), labelled))
    return rows


def _lines(reader: csv.DictReader, path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from reader
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}).") from error


def _json_rows(content: Any) -> list[_Row] | None:
    groups = content if isinstance(content, dict) else {"": content}
    lists = {name: entries for name, entries in groups.items() if name in _SPLITS and isinstance(entries, list)}
    rows = [_json_row(entry, name) for name, entries in lists.items() for entry in entries]
    return [row for row in rows if row is not None] if rows and all(rows) else None


def _json_row(entry: Any, split: str) -> _Row | None:
    if isinstance(entry, str) and split:
        return _Row((entry,), "", split, "")
    if not isinstance(entry, Mapping) or not all(isinstance(name, str) for name in _texts(entry.get("image"))):
        return None
    label, id = entry.get("label") or "", entry.get("id", "")
    if "image" not in entry:
        return None
    own, labelled = entry.get("split", split), written_classes(entry.get("labelled"))
    return _Row(tuple(_texts(entry.get("image"))), str(label), str(own), str(id), labelled)


def _texts(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else [value]


def listed_files(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(case id, path) of each file that a dataset.json lists for training or testing."""
    listed = []
    for row in _json_rows(dict(content)) or []:
        for name in (*row.images, *([row.label] if row.label else [])):
            listed.append((case_id(row.images[0]), name))
    return listed
