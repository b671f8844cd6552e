"""NRRD and MetaImage files through SimpleITK, whose frame is LPS."""

from pathlib import Path

import numpy as np
import SimpleITK

from saccade.data.grid import RAS_FROM_LPS, checked_affine, checked_shape
from saccade.data.nifti import storage_dtype
from saccade.errors import InputError


def read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array as (i, j, k) or (i, j, k, c) and affine (RAS, mm) of an NRRD or MetaImage file.

    Raises:
        InputError: If the file is missing, empty, damaged, or holds complex numbers or more than four axes.
    """
    reader = _reader(path)
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
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as {_kind(path)} ({_cause(error)}).") from error
    return reader


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
