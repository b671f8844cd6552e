"""Find the images of a folder and their targets, whatever the layout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from saccade.data.classification.case import Case, ImageDataset, Packed
from saccade.data.classification.folders import COLUMN, find_class_folders, find_images, holds_picture_classes
from saccade.data.classification.packed import npz_parts, packed_array
from saccade.data.classification.read import is_image, without_suffix
from saccade.data.classification.table import find_tables, names_label_maps, read_tables
from saccade.errors import InputError, unknown_name

SUPPORTED = (
    "class folders of pictures or volumes (also below train/, val/ and test/), a CSV of paths and targets, a MedMNIST "
    ".npz, or MNIST's idx files"
)
# Faults that leave open what there is to learn.
_FATAL = ("list", "missing file", "duplicate case", "empty class")
_IDX_IMAGES, _IDX_LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"


def find_image_dataset(root: Path | str, columns: Sequence[str] | None = None) -> ImageDataset:
    """The cases of a folder or file with their targets.

    Args:
        root: A folder or file in one of the supported layouts.
        columns: Of a table, the targets; None for those that its header tells.

    Raises:
        InputError: If nothing is there, no layout fits, a table is broken, a class has no image, or two files claim to
            be one case.
    """
    dataset = scan_image_dataset(root, columns)
    for fault in dataset.faults:
        if fault.kind in _FATAL:
            raise InputError(f"{fault} See all faults with: saccade data check {root}")
    return dataset


def scan_image_dataset(root: Path | str, columns: Sequence[str] | None = None, *, bare: bool = False) -> ImageDataset:
    """As `find_image_dataset`, but with what is wrong in ``faults`` and no image opened.

    Args:
        root: As there.
        columns: As there.
        bare: Whether images without targets will do: a folder of pictures, one of them, those of any table.

    Raises:
        InputError: If nothing is there or no layout fits.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder.")
    dataset = _of_file(root, columns, bare) if root.is_file() else _of_folder(root, columns, bare)
    if dataset is None:
        got = "an empty folder" if root.is_dir() and not any(root.iterdir()) else "none of these"
        raise InputError(f"{root}: must hold {SUPPORTED}; got {got}.")
    unknown = [column for column in columns or () if column not in dataset.columns]
    if unknown:
        raise unknown_name(str(root), "column", unknown[0], list(dataset.columns))
    return replace(dataset, cases=tuple(sorted(dataset.cases, key=lambda case: case.id)))


def is_image_dataset(root: Path | str) -> bool:
    """Whether a folder or file is one of images with a target each, and not one of scans with label maps."""
    root = Path(root)
    if root.is_file():
        return root.suffix.lower() == ".npz" or (root.suffix.lower() == ".csv" and _is_table(root))
    if not root.is_dir():
        return False
    if (
        any(map(_is_stack, root.glob("*.npz")))
        or _idx_images(root)
        or any(_is_table(path) for path in find_tables(root))
    ):
        return True
    return holds_picture_classes(root)


def _is_table(path: Path) -> bool:
    return path in find_tables(path.parent) and not names_label_maps(path)


def _is_stack(path: Path) -> bool:
    """Whether an archive is one of images, and not something else beside the data."""
    try:
        return bool(npz_parts(path))
    except InputError:
        return False


def _of_file(path: Path, columns: Sequence[str] | None, bare: bool) -> ImageDataset | None:
    if path.suffix.lower() == ".npz":
        return _npz(path, path)
    if path.suffix.lower() == ".csv":
        return read_tables([path], path, () if bare else columns)
    if _IDX_IMAGES in path.name:
        return _mnist([path], path)
    if bare and is_image(path):
        return ImageDataset(path, "images", (Case(without_suffix(path.name), path),), ())
    return None


def _of_folder(root: Path, columns: Sequence[str] | None, bare: bool) -> ImageDataset | None:
    archives = sorted(root.glob("*.npz"))
    if len(archives) > 1:
        raise InputError(f"{root}: must hold one .npz, got {', '.join(p.name for p in archives)}. Give the file.")
    if archives:
        return _npz(archives[0], root)
    if images := _idx_images(root):
        return _mnist(images, root)
    if tables := find_tables(root):
        return read_tables(tables, root, () if bare else columns)
    return find_class_folders(root) or (find_images(root) if bare else None)


def _npz(path: Path, root: Path) -> ImageDataset:
    """MedMNIST, 2D and 3D: Yang et al. 2023, doi:10.1038/s41597-022-01721-8."""
    cases: list[Case] = []
    columns: tuple[str, ...] = ()
    for prefix, split, images, labels in npz_parts(path):
        stack = packed_array(path, images)
        if stack.ndim < 3:
            raise InputError(f"{path}: {images} must be images (n, rows, columns ...), has shape {stack.shape}.")
        values: np.ndarray | None = None
        if labels is not None:
            values = packed_array(path, labels)
            values = values[:, None] if values.ndim == 1 else values
            if values.ndim != 2 or len(values) != len(stack):
                raise InputError(
                    f"{path}: {labels} must have a row for each of the {len(stack)} images, has shape {values.shape}."
                )
            count = values.shape[1]
            columns = (COLUMN,) if count == 1 else tuple(f"label {number}" for number in range(count))
        for index in range(len(stack)):
            texts = () if values is None else tuple(_text(value) for value in values[index])
            cases.append(Case(f"{prefix}_{index:05d}", Packed(path, images, index), texts, split))
    return ImageDataset(root, "npz", tuple(cases), columns)


def _idx_images(root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if _IDX_IMAGES in path.name and path.is_file()]


def _mnist(images: list[Path], root: Path) -> ImageDataset:
    """LeCun's files; with both parts there ``t10k`` is the test, alone it is to be divided."""
    cases: list[Case] = []
    for path in images:
        prefix = path.name.partition(_IDX_IMAGES)[0]
        labels = path.with_name(path.name.replace(_IDX_IMAGES, _IDX_LABELS))
        if not labels.is_file():
            labels = next(iter(sorted(path.parent.glob(f"{prefix}{_IDX_LABELS}*"))), labels)
        values = packed_array(labels, "")
        count = len(packed_array(path, ""))
        if values.shape != (count,):
            raise InputError(f"{labels}: must have a label for each of the {count} images, has shape {values.shape}.")
        split = ("train" if prefix == "train" else "test") if len(images) > 1 else None
        cases += [
            Case(f"{prefix}_{index:05d}", Packed(path, "", index), (_text(value),), split)
            for index, value in enumerate(values)
        ]
    return ImageDataset(root, "mnist", tuple(cases), (COLUMN,))


def _text(value: np.generic) -> str:
    """A number as a table would have it: without a point where it is whole."""
    number = value.item()
    return str(int(number)) if float(number).is_integer() else repr(number)
