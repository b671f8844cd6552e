"""The layouts that are told from a folder alone, one function each: the data set, or None when it is another one.

Sources of the conventions: BTCV, Synapse syn3193805; Medical Segmentation Decathlon, Antonelli et al. 2022; nnU-Net
v2 raw data sets, Isensee et al. 2021; NIH Pancreas-CT (CT-82), Roth et al. 2015, TCIA.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from saccade.data.grid import RAS_FROM_LPS
from saccade.data.layout_case import Case, Dataset, Fault
from saccade.data.layout_folders import Collected, dicom_folders, first_dicom
from saccade.data.layout_labels import BTCV_LABELS, channels_of, modality_of, parse_label_names
from saccade.data.layout_list import listed_files
from saccade.data.layout_names import case_id, match_key, stem, volumes_in
from saccade.data.volume import is_volume_file, read_grid
from saccade.errors import InputError
from saccade.files import read_json

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "scans")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "segmentations", "seg", "annotations")
_LABEL_STEMS = ("label", "labels", "seg", "segmentation", "mask")
_PANCREAS = re.compile(r"PANCREAS_\d+", re.IGNORECASE)
_PANCREAS_LABEL = re.compile(r"label\d{3,4}", re.IGNORECASE)
_BTCV_IMAGE = re.compile(r"img\d{3,4}")
_CHANNEL = re.compile(r".+_\d{4}")


def find_decathlon(root: Path) -> Dataset | None:
    """Medical Segmentation Decathlon and nnU-Net raw: ``imagesTr``, ``labelsTr``, ``imagesTs``, ``dataset.json``."""
    train, test = root / "imagesTr", root / "imagesTs"
    if not train.is_dir() and not test.is_dir():
        return None
    collected = Collected()
    content = _dataset_json(root, collected)
    images, labels = volumes_in(train) + volumes_in(test), volumes_in(root / "labelsTr")
    channels = "channel_names" in content or (
        "modality" not in content
        and bool(images)
        and all(_CHANNEL.fullmatch(stem(path)) for path in images)
        and not {stem(path) for path in images} & {stem(path) for path in labels}
    )
    collected.add_folders(train, root / "labelsTr", channels=channels)
    if test.is_dir():
        collected.add_folders(test, root / "labelsTs", split="test", channels=channels)
    _check_listed(root, content, collected)
    names = channels_of(content)
    if channels:
        collected.check_channels(len(names) or None)
    return Dataset(
        root,
        "nnunet" if channels else "msd",
        tuple(collected.cases),
        _label_names(root, content, collected),
        names,
        modality_of(names),
        tuple(collected.faults),
    )


def find_btcv(root: Path) -> Dataset | None:
    """BTCV: ``img/imgNNNN`` and ``label/labelNNNN``, also below (RawData/)Training; ``Testing/img`` has no labels."""
    bases = [root, root / "Training", root / "RawData" / "Training"]
    train = next((base for base in bases if (base / "img").is_dir()), None)
    beside = [root / "Testing", root / "RawData" / "Testing"]
    test = next((base for base in beside if (base / "img").is_dir()), None)
    images = [path for base in (train, test) if base for path in volumes_in(base / "img")]
    if not any(_BTCV_IMAGE.fullmatch(stem(path)) for path in images):
        return None
    collected = Collected()
    if train:
        collected.add_folders(train / "img", train / "label")
    if test:
        collected.add_folders(test / "img", test / "label", split="test")
    names = _label_names(root, {}, collected) or dict(BTCV_LABELS)
    return Dataset(root, "btcv", tuple(collected.cases), names, faults=tuple(collected.faults))


def find_pancreas_ct(root: Path) -> Dataset | None:
    """NIH Pancreas-CT: ``PANCREAS_00NN`` (DICOM folders or NIfTI) and ``label00NN.nii.gz``, up to three levels down.

    The released labels are stored in another row order than the scans that common converters make. Which way a
    label runs is read from both affines: where their second axes point to opposite sides (one to the front, one to
    the back), the label is flipped in y and then lies voxel for voxel on the scan. A label whose header says nothing
    (identity) points to the front and DICOM rows run to the back: that pair is flipped.
    """
    entries = [path for path in _within(root, 3) if _PANCREAS.fullmatch(stem(path))]
    images = [path for path in entries if path.is_dir() or is_volume_file(path)]
    labels = [path for path in _within(root, 2) if is_volume_file(path) and _PANCREAS_LABEL.fullmatch(stem(path))]
    if not images or (not labels and not all(path.is_dir() for path in images)):
        return None
    collected = Collected()
    collected.add([(stem(path), (path,)) for path in images], labels, needs=labels[0].parent if labels else None)
    collected.flip({case.id: _opposed(case) for case in collected.cases if case.label is not None})
    names = _label_names(root, {}, collected) or {1: "pancreas"}
    return Dataset(root, "pancreas-ct", tuple(collected.cases), names, ("CT",), "CT", tuple(collected.faults))


def find_pairs(root: Path) -> Dataset | None:
    """``images/`` and ``labels/`` (or their usual other names), paired by file name; labels may be missing."""
    images = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
    if images is None or not (volumes_in(images) or dicom_folders(images)):
        return None
    collected = Collected()
    labels = next((root / name for name in _LABEL_FOLDERS if (root / name).is_dir()), None)
    collected.add_folders(images, labels)
    names = _label_names(root, {}, collected)
    return Dataset(root, "pairs", tuple(collected.cases), names, faults=tuple(collected.faults))


def find_images(root: Path) -> Dataset | None:
    """A folder of scans (or one DICOM series); ``x_seg``, ``x_label`` or one ``label`` beside them are label maps."""
    collected = Collected()
    volumes, series = volumes_in(root), dicom_folders(root)
    if not volumes and not series:
        if first_dicom(sorted(root.iterdir())) is None:
            return None
        collected.cases.append(Case(root.resolve().name, (root,), None))
    alone = [path for path in volumes if stem(path).casefold() in _LABEL_STEMS]
    labels = [path for path in volumes if path not in alone and case_id(path) != stem(path)]
    images = [path for path in volumes if path not in alone and path not in labels]
    collected.add([(stem(path), (path,)) for path in (*images, *series)], labels)
    for path in alone:
        _add_lone_label(path, collected)
    names = _label_names(root, {}, collected)
    return Dataset(root, "images", tuple(collected.cases), names, faults=tuple(collected.faults))


def _add_lone_label(path: Path, collected: Collected) -> None:
    """Give ``label.nii.gz`` to the only scan beside it, or to the only one on its grid."""
    fits = [case for case in collected.cases if case.label is None]
    if len(fits) > 1:
        fits = [case for case in fits if _on_same_grid(case.images[0], path)]
    if len(fits) != 1:
        found = "none" if not fits else ", ".join(case.id for case in fits)
        collected.faults.append(Fault(case_id(path), str(path), "missing image", "one scan on this grid", found))
        return
    place = collected.cases.index(fits[0])
    collected.cases[place] = Case(fits[0].id, fits[0].images, path, fits[0].split)


def _on_same_grid(image: Path, label: Path) -> bool:
    try:
        (shape, affine), (other, label_affine) = read_grid(image), read_grid(label)
    except InputError:
        return False
    return shape == other and bool(np.allclose(affine, label_affine, atol=1e-3))


def _dataset_json(root: Path, collected: Collected) -> dict[str, Any]:
    path = root / "dataset.json"
    if not path.exists():
        return {}
    try:
        content = read_json(path)
    except InputError as error:
        collected.faults.append(Fault("", str(path), "list", "a JSON object", str(error)))
        return {}
    if not isinstance(content, dict):
        collected.faults.append(Fault("", str(path), "list", "a JSON object", type(content).__name__))
        return {}
    return content


def _check_listed(root: Path, content: dict[str, Any], collected: Collected) -> None:
    """Note the files that dataset.json lists and that are not there, once per case."""
    known = {match_key(fault.case) for fault in collected.faults}
    for id, name in listed_files(content):
        if not (root / name).exists() and match_key(id) not in known:
            known.add(match_key(id))
            expected = "the file that dataset.json names"
            collected.faults.append(Fault(id, str(root / name), "missing file", expected, "none"))


def _label_names(root: Path, content: dict[str, Any], collected: Collected) -> dict[int, str]:
    """The classes that dataset.json, or else labels.json, names; none when neither can be used."""
    sources = [(root / "dataset.json", content["labels"])] if "labels" in content else []
    if not sources and (root / "labels.json").exists():
        try:
            names = read_json(root / "labels.json")
        except InputError as error:
            collected.faults.append(Fault("", str(root / "labels.json"), "list", "label names", str(error)))
            return {}
        nested = names.get("labels") if isinstance(names, dict) else None
        sources = [(root / "labels.json", nested if isinstance(nested, dict) else names)]
    for path, names in sources:
        try:
            return parse_label_names(str(path), names, content.get("regions_class_order"))
        except InputError as error:
            collected.faults.append(Fault("", str(path), "list", "label names", str(error)))
    return {}


def _within(root: Path, levels: int) -> list[Path]:
    """Everything visible up to so many levels down, not looking into the folders of single patients."""
    found: list[Path] = []
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        found.append(path)
        if path.is_dir() and levels > 1 and not _PANCREAS.fullmatch(path.name):
            found.extend(_within(path, levels - 1))
    return found


def _opposed(case: Case) -> bool:
    """Whether image and label run to opposite sides along their second axis."""
    try:
        direction, label = _second_axis(case.images[0]), read_grid(case.label or case.images[0])[1]
    except InputError:  # named by whoever reads the file
        return False
    return bool(np.dot(direction, label[:3, 1]) < 0)


def _second_axis(path: Path) -> np.ndarray:
    """World direction (RAS) of the image's second axis; of a DICOM series, down the columns of one slice."""
    if not path.is_dir():
        return read_grid(path)[1][:3, 1]
    file = first_dicom(path.rglob("*"))
    if file is None:
        raise InputError(f"{path}: no DICOM image in it.")
    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["ImageOrientationPatient"], force=True)
    orientation = np.array(header.get("ImageOrientationPatient") or [1, 0, 0, 0, 1, 0], dtype=np.float64)
    return RAS_FROM_LPS[:3, :3] @ orientation[3:]
