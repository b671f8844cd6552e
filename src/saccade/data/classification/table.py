"""A CSV of paths and targets: which column is which, and where the images are."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from saccade.data.classification.case import SPLITS, Case, ImageDataset
from saccade.data.classification.folders import repeated_ids
from saccade.data.classification.read import PICTURES, is_image, without_suffix
from saccade.data.layout_case import Fault
from saccade.errors import InputError, unknown_name

IMAGE_COLUMNS = (
    "image", "img", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_id",
    "image_file", "scan", "volume", "picture",
)  # fmt: skip
_TARGET = ("target", "label", "class", "y", "diagnosis", "score", "grade")
_PREFIXES = ("target_", "label_", "class_", "target ", "label ")
SPLIT_COLUMNS = ("split", "subset", "partition")
GROUP_COLUMNS = ("group", "patient", "patient_id", "patientid", "subject", "subject_id")
_ID = ("id", "case", "case_id")
_FOLDERS = ("", "images", "image", "imgs", "img", "scans", "pictures")
_SUFFIXES = ("", *PICTURES, ".nii.gz", ".nii", ".nrrd", ".mha")
Row = dict[str, str]


def find_tables(root: Path) -> list[Path]:
    """The tables of images in a folder: those with a column of paths and another one."""
    found = []
    for path in sorted(root.glob("*.csv")):
        try:
            header = read_rows(path)[0]
        except InputError:
            continue
        if named_column(header, IMAGE_COLUMNS) and len(header) > 1:
            found.append(path)
    return found


def read_tables(paths: Sequence[Path], root: Path, columns: Sequence[str] | None = None) -> ImageDataset:
    """The data set that tables describe; several are the parts that their names say (``train.csv``, ``val.csv``).

    Args:
        paths: The tables.
        root: Of the data set.
        columns: The targets; None for those that the header tells.

    Raises:
        InputError: If a table cannot be read, has no column of images, or its targets cannot be told.
    """
    rows: list[tuple[Path, str | None, Row]] = []
    headers: list[list[str]] = []
    for path in paths:
        header, content = read_rows(path)
        split = SPLITS.get(path.stem.casefold()) if len(paths) > 1 else None
        if len(paths) > 1 and split is None:
            names = ", ".join(path.name for path in paths)
            raise InputError(
                f"{root}: must hold one table of images, or train, val and test; got {names}. Give the file."
            )
        headers.append(header)
        rows += [(path, split, row) for row in content]
    header = headers[0]
    image = named_column(header, IMAGE_COLUMNS)
    if image is None:
        raise InputError(f"{paths[0]}: must have a column of images (image, file, path ...), has {', '.join(header)}.")
    roles = {
        role: named_column(header, names)
        for role, names in (("split", SPLIT_COLUMNS), ("group", GROUP_COLUMNS), ("id", _ID))
    }
    chosen = target_columns(paths[0], header, [row for _, _, row in rows], columns)
    cases, faults = [], []
    for path, split, row in rows:
        written = row.get(image, "")
        source = locate_image(path.parent, written)
        id = row.get(roles["id"] or "", "") or (
            without_suffix(written.strip().lstrip("/")) if written.strip(" /") else ""
        )
        if source is None:
            faults.append(
                Fault(id, str(path.parent / written), "missing file", f"the image that {path.name} names", "none")
            )
            continue
        values = tuple(row.get(column, "").strip() for column in chosen)
        part = row.get(roles["split"] or "", "").strip().casefold()
        if part and part not in SPLITS:
            faults.append(Fault(id, str(path), "list", "split: train, validation or test", part))
        group = row.get(roles["group"] or "", "").strip() or None
        cases.append(Case(id, source, values if any(values) else (), SPLITS.get(part, split), group))
    faults += repeated_ids(cases)
    return ImageDataset(root, "table", tuple(cases), tuple(chosen), faults=tuple(faults))


def target_columns(path: Path, header: Sequence[str], rows: Sequence[Row], asked: Sequence[str] | None) -> list[str]:
    """Which columns are the targets: those asked for, those that are called so, or the only one that can be.

    Raises:
        InputError: If one that was asked for is not there, or none or several can be meant.
    """
    if asked is not None:
        for column in asked:
            if column not in header:
                raise unknown_name(str(path), "column", column, list(header))
        return list(asked)
    if (one := named_column(header, _TARGET)) is not None:
        return [one]
    if many := [column for column in header if column.casefold().startswith(_PREFIXES)]:
        return many
    taken = {named_column(header, names) for names in (IMAGE_COLUMNS, SPLIT_COLUMNS, GROUP_COLUMNS, _ID)}
    left = [column for column in header if column not in taken and column]
    differing = [column for column in left if len({row.get(column, "") for row in rows}) > 1]
    if len(left) == 1:
        return left
    if len(differing) == 1:
        return differing
    flags = [
        column for column in differing if {row.get(column, "").strip() for row in rows} <= {"0", "1", "0.0", "1.0", ""}
    ]
    if differing and len(flags) == len(differing):
        return flags
    raise InputError(
        f"{path}: must have a target column called target, label or class, has {', '.join(header)}. "
        f"Say which: --set data.columns=[{(differing or left or ['NAME'])[0]}], or --columns with data check."
    )


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of a CSV, whether commas, semicolons or tabs stand between the values.

    Raises:
        InputError: If it cannot be read, is empty, or names a column twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}).") from None
    if not table:
        raise InputError(f"{path}: must have a header and rows, is empty.")
    header = [name.strip() for name in table[0]]
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise InputError(f"{path}: each column must have a name of its own, got {', '.join(twice)} again.")
    return header, [dict(zip(header, row, strict=False)) for row in table[1:]]


def names_label_maps(path: Path) -> bool:
    """Whether a table is a segmentation's: the targets of its first rows are files."""
    try:
        header, rows = read_rows(path)
        (column, *_) = target_columns(path, header, rows, None)
    except InputError:
        return False
    values = [row.get(column, "") for row in rows[:20]]
    return any(value and is_image(Path(value)) for value in values) or not any(values)


def named_column(header: Sequence[str], names: Sequence[str]) -> str | None:
    """The column that has one of these names, whatever its capitals; None if there is none."""
    known = {column.casefold().replace(" ", "_"): column for column in reversed(header)}
    return next((known[name] for name in names if name in known), None)


def locate_image(base: Path, written: str) -> Path | None:
    """The file that a row means: below the table or its folder of images, with or without its suffix."""
    if not written.strip() or "\0" in written:
        return None
    for folder in _FOLDERS:
        for suffix in _SUFFIXES:
            path = base / folder / f"{written.strip()}{suffix}"
            # os.path, as a damaged name may be one that pathlib will not ask for
            if is_image(path) and os.path.isfile(path):
                return path
    return None
