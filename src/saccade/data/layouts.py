"""Find the cases in a folder, whatever its layout, and load them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from saccade.data.itk import read_itk_grid
from saccade.data.layout_case import Case, Dataset, Fault, Split
from saccade.data.layout_find import find_btcv, find_decathlon, find_images, find_pairs, find_pancreas_ct
from saccade.data.layout_labels import parse_label_names, read_label_names
from saccade.data.layout_list import list_files, read_list
from saccade.data.layout_names import case_id, pair_cases
from saccade.data.layout_read import HARMLESS, read_case
from saccade.data.nifti import read_nifti_grid
from saccade.data.partial import with_labelled
from saccade.data.volume import Volume
from saccade.errors import InputError

__all__ = [
    "Case",
    "Dataset",
    "Fault",
    "Split",
    "case_id",
    "find_dataset",
    "load_case",
    "pair_cases",
    "scan_dataset",
]

_SUPPORTED = (
    "img/ with label/ (BTCV), imagesTr/ with labelsTr/ (Decathlon, nnU-Net), PANCREAS_00NN with label00NN.nii.gz "
    "(Pancreas-CT), images/ with labels/, a CSV or JSON list, or a folder of scans"
)
_FINDERS: list[Callable[[Path], Dataset | None]] = [find_btcv, find_pancreas_ct, find_pairs, find_images]
# Faults of names and lists that leave open which files make up a case.
_FATAL = ("list", "missing file", "duplicate case", "channel count")


def find_dataset(root: Path | str, label_names: Mapping[int, str] | None = None) -> Dataset:
    """The cases of a folder or list file, its layout told from what is there.

    Args:
        root: A folder in one of the supported layouts, or a CSV or JSON list.
        label_names: Foreground classes, value -> name; default what the folder says.

    Raises:
        InputError: If nothing is there, no layout fits, a list is broken or two files claim to be one case.
    """
    dataset = scan_dataset(root, label_names)
    for fault in dataset.faults:
        if fault.kind in _FATAL:
            raise InputError(f"{fault} See all faults with: saccade data check {root}")
    if not dataset.channel_names:
        return replace(dataset, channel_names=_channel_names(dataset))
    return dataset


def scan_dataset(root: Path | str, label_names: Mapping[int, str] | None = None) -> Dataset:
    """As `find_dataset`, but with what is wrong in ``faults`` and no image opened.

    Raises:
        InputError: If nothing is there or no layout fits.
    """
    root = Path(root)
    dataset = _found(root)
    if dataset is None or not (dataset.cases or dataset.faults):
        got = "an empty folder" if root.is_dir() and not any(root.iterdir()) else "none of these"
        raise InputError(f"{root}: must hold scans as {_SUPPORTED}; got {got}.")
    names = dataset.label_names
    if label_names is not None:
        names = parse_label_names("label_names", label_names)
    dataset = with_labelled(dataset, names)
    cases = tuple(sorted(dataset.cases, key=lambda case: case.id))
    return replace(dataset, cases=cases, label_names=names)


def load_case(case: Case) -> tuple[Volume, Volume | None]:
    """Read a case's image, channels last when there are several, and its label map on the image's grid.

    Returns:
        The image, (i, j, k) or (i, j, k, c), and the label as uint8 or uint16, or None.

    Raises:
        InputError: If a file cannot be read, grids differ (by 1e-3 or more in the affine), the image is not finite or
            is constant, or the label is not one non-negative integer per voxel.
    """
    image, label, faults = read_case(case)
    for fault in faults:
        if not (fault.fixable or fault.kind in HARMLESS):
            raise InputError(str(fault))
    if image is None:
        raise InputError(f"case {case.id}: must have an image, got none.")
    return image, label


def _found(root: Path) -> Dataset | None:
    if not root.exists():
        raise InputError(f"{root}: there is no such folder.")
    if root.is_file():
        if root.suffix.lower() not in (".csv", ".json"):
            raise InputError(f"{root}: must be a folder or a CSV or JSON list of cases, got another file.")
        decathlon = find_decathlon(root.parent) if root.name == "dataset.json" else None
        return decathlon or read_list(root, root)
    if (decathlon := find_decathlon(root)) is not None:
        return decathlon
    lists, broken = list_files(root)
    if len(lists) > 1:
        raise InputError(f"{root}: must hold one list of cases, got {', '.join(p.name for p in lists)}. Give the file.")
    finders = [lambda folder: read_list(lists[0], folder)] if lists else _FINDERS
    dataset = next((found for finder in finders if (found := finder(root)) is not None), None)
    if dataset is None:
        return Dataset(root, "list", (), {}, faults=tuple(broken)) if broken else None
    if lists and not dataset.label_names:
        dataset = _with_labels_json(dataset, root)
    return replace(dataset, faults=(*dataset.faults, *broken))


def _with_labels_json(dataset: Dataset, root: Path) -> Dataset:
    path = root / "labels.json"
    if not path.exists():
        return dataset
    try:
        return replace(dataset, label_names=read_label_names(path))
    except InputError as error:
        fault = Fault("", str(path), "list", "label names", str(error))
        return replace(dataset, faults=(*dataset.faults, fault))


def _channel_names(dataset: Dataset) -> tuple[str, ...]:
    """Plain names, as many as the first case that can be opened has channels."""
    for case in dataset.cases:
        try:
            count = len(case.images) if len(case.images) > 1 else _channels(case.images[0])
        except InputError:
            continue
        return ("image",) if count == 1 else tuple(f"channel {number}" for number in range(1, count + 1))
    return ()


def _channels(path: Path) -> int:
    if path.is_dir():
        return 1
    nifti = path.name.lower().endswith((".nii", ".nii.gz"))
    shape = (read_nifti_grid if nifti else read_itk_grid)(path)[0]
    return shape[3] if len(shape) == 4 else 1
