"""NRRD and MetaImage files through SimpleITK, whose frame is LPS."""

import math
import os
import re
from pathlib import Path

import numpy as np
import SimpleITK

from saccade.data.grid import RAS_FROM_LPS, checked_affine, checked_shape
from saccade.data.metaimage import check_header, check_voxels
from saccade.data.nifti import storage_dtype
from saccade.data.size import DEFLATE, check_promise
from saccade.data.unpack import check_unpacks
from saccade.errors import InputError

_MOST_FILES = 100_000


def read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array as (i, j, k) or (i, j, k, c) and affine (RAS, mm) of an NRRD or MetaImage file.

    Raises:
        InputError: If the file is missing, empty, damaged, or holds complex numbers or more than four axes.
    """
    reader = _reader(path)
    expected = _check_size(reader, path)
    if _kind(path) == "NRRD":
        _check_packed(path, expected)
    else:
        check_voxels(path)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as {_kind(path)} ({_cause(error)}).") from error
    array = SimpleITK.GetArrayFromImage(image)
    spatial = image.GetDimension()
    # ITK keeps the first index fastest and the channels of a pixel last: k j i c -> i j k c
    array = array.transpose(*range(spatial)[::-1], *range(spatial, array.ndim))
    if spatial == 2:
        array = np.expand_dims(array, 2)
    array = array.reshape(checked_shape(array.shape, path))
    return np.ascontiguousarray(array, dtype=storage_dtype(array.dtype, path)), _affine(image, path)


def read_itk_grid(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine from the header alone."""
    reader = _reader(path)
    size = [*reader.GetSize(), *([1] * (3 - reader.GetDimension())), reader.GetNumberOfComponents()]
    return checked_shape(tuple(size), path), _affine(reader, path)


def write_itk(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write an NRRD or MetaImage file, compressed; the affine may be oblique or sheared."""
    array = np.asarray(array, dtype=storage_dtype(array.dtype, path))
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0, *range(3, array.ndim)), isVector=array.ndim == 4)
    lps = RAS_FROM_LPS @ affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(f"{path}: cannot be written ({_cause(error)}).") from error


def _reader(path: Path) -> SimpleITK.ImageFileReader:
    """A reader that has read the header."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")
    _check_places(path)
    if _kind(path) == "MetaImage":
        check_header(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as {_kind(path)} ({_cause(error)}).") from error
    return reader


def _check_places(path: Path) -> None:
    """Refuse headers by which ITK would read from the keyboard or a device, or look for no end of files."""
    with open(path, "rb") as file:
        head = file.read(1 << 16).decode("latin-1")
    nrrd = _kind(path) == "NRRD"
    named = re.search(r"^data ?file:(.*)$" if nrrd else r"^ElementDataFile *=(.*)$", head, re.MULTILINE | re.IGNORECASE)
    first = named[1].strip() if named else "LOCAL"
    if "%" in first:
        name, *numbers = first.split()
        try:
            low, high, *step = (int(number) for number in numbers)
            count = (high - low) / (step[0] if step else 1)
        except (ValueError, OverflowError, ZeroDivisionError):
            count = float("inf")
        if not 0 <= count < _MOST_FILES:
            raise InputError(f"{path}: the voxels must be in at most {_MOST_FILES} files, got '{first}'.")
        return
    rest = head[named.end() :].split("\n\n" if nrrd else "\0")[0].splitlines() if named else []
    for name in [first, *rest] if first.upper().startswith("LIST") else [first]:
        place = path.parent / name.strip()
        # os.path, as a name from a damaged header may be one that pathlib will not ask for
        if name.strip() == "-" or (os.path.exists(place) and not os.path.isdir(place) and not os.path.isfile(place)):
            raise InputError(f"{path}: the voxels must be in a file, got '{name.strip()}'.")


def _check_size(reader: SimpleITK.ImageFileReader, path: Path) -> int:
    """Refuse a header that promises more voxels than there can be: ITK makes room for them first; gives their bytes."""
    size = [*reader.GetSize(), reader.GetNumberOfComponents()]
    found = re.search(r"(\d+)-bit", SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()))
    bits = int(found[1]) if found else 8
    detached = path.suffix.lower() in (".mhd", ".nhdr")  # the voxels are in other files
    file_bytes = None if detached else path.stat().st_size
    check_promise(size, bits, path, file_bytes=file_bytes, packing=DEFLATE)
    return math.prod(size) * bits // 8


def _check_packed(path: Path, expected: int) -> None:
    """Refuse gzipped voxels behind an NRRD header that are not whole."""
    with open(path, "rb") as file:
        head = file.read(1 << 16).decode("latin-1")
    fields, blank, _ = head.partition("\n\n")
    gzipped = re.search(r"^encoding: *(gz|gzip)\s*$", fields, re.MULTILINE | re.IGNORECASE)
    elsewhere = re.search(r"^(data ?file|line ?skip|byte ?skip):", fields, re.MULTILINE | re.IGNORECASE)
    if blank and gzipped and not elsewhere:
        check_unpacks(path, len(fields) + len(blank), expected, who=path)


def _affine(image: SimpleITK.Image | SimpleITK.ImageFileReader, path: Path) -> np.ndarray:
    """The first three axes' affine; an image lies in the plane k = 0 with a slice 1 mm thick."""
    size = image.GetDimension()
    spatial = min(size, 3)
    matrix = np.eye(4)
    direction = np.reshape(image.GetDirection(), (size, size))[:spatial, :spatial]
    matrix[:spatial, :spatial] = direction * np.array(image.GetSpacing())[:spatial]
    matrix[:spatial, 3] = image.GetOrigin()[:spatial]
    return checked_affine(RAS_FROM_LPS @ matrix, path)


def _kind(path: Path) -> str:
    return "NRRD" if path.suffix in (".nrrd", ".nhdr") else "MetaImage"


def _cause(error: RuntimeError) -> str:
    """What ITK says after the name of its source file, cut to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("ITK ERROR: ")[2].rstrip(".") if lines else "no reason given"
