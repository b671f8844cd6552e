"""Read one case and say everything that is wrong with its voxels and grids; who asked decides what to do about it."""

from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from saccade.data.layout_case import Case, Fault, Kind
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError

FIXABLE = 1e-3  # largest difference of two affines (in any element) that is taken for rounding
HARMLESS: tuple[Kind, ...] = ("empty label",)  # a case like this can be trained on


def read_case(case: Case) -> tuple[Volume | None, Volume | None, list[Fault]]:
    """The image (channels merged, last), the label (uint8 or uint16, on the image's grid) and all faults of the two.

    What cannot be used is None: an unreadable file, an image whose channels lie on different grids, a label of
    another shape.
    """
    faults: list[Fault] = []
    image = _read_image(case, faults)
    if image is not None:
        _check_values(case, image, faults)
    label = _read_label(case, faults)
    if label is not None:
        label = _checked_label(case, label, faults)
    if image is not None and label is not None:
        label = _on_grid(case, image, label, faults)
    return image, label, faults


def describe_grid(affine: np.ndarray) -> str:
    """Spacing, origin and axis directions of an affine in a few words."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    shown = [", ".join(f"{value:.6g}" for value in values) for values in (spacing_mm, affine[:3, 3])]
    axes = "".join(
        "RAS"[row] if column[row] > 0 else "LPI"[row] for column in affine[:3, :3].T for row in [_main(column)]
    )
    return f"spacing ({shown[0]}) mm, origin ({shown[1]}), axes {axes}"


def _read(case: Case, path: Path, faults: list[Fault]) -> Volume | None:
    try:
        return read_volume(path)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        kind: Kind = "truncated" if "truncated" in reason or "is empty" in reason else "unreadable"
        faults.append(Fault(case.id, str(path), kind, "a whole volume file", reason))
        return None


def _read_image(case: Case, faults: list[Fault]) -> Volume | None:
    volumes = [_read(case, path, faults) for path in case.images]
    whole = [volume for volume in volumes if volume is not None]
    if not whole or len(whole) < len(volumes):
        return None
    if len(whole) == 1:
        return whole[0]
    first = whole[0]
    for path, volume in zip(case.images, whole, strict=True):
        if volume.channels != 1:
            found = f"{volume.channels} channels"
            faults.append(Fault(case.id, str(path), "4D", "one channel per file", found))
            return None
        if volume.shape != first.shape or _difference(volume.affine, first.affine) >= FIXABLE:
            expected = f"the grid of {case.images[0].name}: {first.shape}, {describe_grid(first.affine)}"
            found = f"{volume.shape}, {describe_grid(volume.affine)}"
            faults.append(Fault(case.id, str(path), "geometry", expected, found))
            return None
    return first.like(np.stack([volume.array for volume in whole], axis=-1))


def _check_values(case: Case, image: Volume, faults: list[Fault]) -> None:
    array, file = image.array, str(case.images[0])
    if array.dtype.kind == "f" and (bad := _not_finite(array)):
        faults.append(Fault(case.id, file, "not finite", "finite intensities", bad))
    elif array.min() == array.max():
        faults.append(Fault(case.id, file, "constant image", "more than one intensity", f"{array.min():g} everywhere"))


def _read_label(case: Case, faults: list[Fault]) -> Volume | None:
    if case.label is None:
        return None
    label = _read(case, case.label, faults)
    if label is not None and label.channels != 1:
        faults.append(Fault(case.id, str(case.label), "4D", "one label per voxel", f"{label.channels} channels"))
        return None
    return label


def _checked_label(case: Case, label: Volume, faults: list[Fault]) -> Volume | None:
    """The label as unsigned integers, or None when it is not one."""
    array, file = label.array, str(case.label)
    if array.dtype.kind == "f":
        if bad := _not_finite(array):
            faults.append(Fault(case.id, file, "not finite", "finite labels", bad))
            return None
        if (fractions := array != np.rint(array)).any():
            found = f"{int(fractions.sum())} voxels such as {array[fractions].flat[0]:g}"
            faults.append(Fault(case.id, file, "non-integer label", "whole numbers", found))
            return None
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        found = f"{low} to {high}"
        faults.append(Fault(case.id, file, "label value", "labels from 0 to 65535", found))
        return None
    if high == 0:
        faults.append(Fault(case.id, file, "empty label", "at least one labelled voxel", "background only"))
    return label.like(array, np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)


def _on_grid(case: Case, image: Volume, label: Volume, faults: list[Fault]) -> Volume | None:
    file, moved = str(case.label), in_axis_order(label, image.affine)
    if moved is not label and moved.shape == image.shape and _difference(moved.affine, image.affine) < FIXABLE:
        return Volume(moved.array, image.affine, None, label.source)
    if label.shape != image.shape:
        expected = f"the image's shape {image.shape}"
        faults.append(Fault(case.id, file, "geometry", expected, f"{label.shape}"))
        return None
    array = label.array
    if case.flip_label_y:  # its header is not to be trusted further than the direction of its rows
        array = np.ascontiguousarray(array[:, ::-1])
    elif (difference := _difference(image.affine, label.affine)) > _rounding(image.affine):
        found = f"{describe_grid(label.affine)}, up to {difference:.2g} off"
        expected = f"the image's {describe_grid(image.affine)}"
        faults.append(Fault(case.id, file, "geometry", expected, found, fixable=difference < FIXABLE))
    return Volume(array, image.affine, label.header, label.source)


def in_axis_order(volume: Volume, affine: np.ndarray) -> Volume:
    """The volume with its axes permuted and flipped to run most nearly as those of ``affine``; no voxel moves.

    Converters store one and the same grid in different axis orders (DICOM rows run to the back, dcm2niix turns them
    to the front): a label made on the one belongs, voxel for voxel, to the scan in the other. The very volume comes
    back when its axes run so already.
    """
    change = ornt_transform(io_orientation(volume.affine), io_orientation(affine))
    if np.array_equal(change, [[0, 1], [1, 1], [2, 1]]):
        return volume
    array = np.ascontiguousarray(apply_orientation(volume.array, change))
    return Volume(array, volume.affine @ inv_ornt_aff(change, volume.shape), None, volume.source)


def _not_finite(array: np.ndarray) -> str:
    """How many voxels are NaN or infinite, in words; empty when none is."""
    if np.isfinite(array).all():
        return ""
    return f"{int(np.isnan(array).sum())} NaN and {int(np.isinf(array).sum())} infinite voxels"


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def _rounding(affine: np.ndarray) -> float:
    """What two writers of one grid may differ by: NIfTI keeps affines in float32, and qforms as quaternions."""
    return 1e-5 + 2 * float(np.finfo(np.float32).eps) * float(np.abs(affine).max())


def _main(direction: np.ndarray) -> int:
    return int(np.abs(direction).argmax())
