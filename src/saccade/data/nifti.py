"""NIfTI files: array, affine and header out of them, and into them without touching what they said."""

import gzip
import logging
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from saccade.data.grid import checked_affine, checked_shape, one_line
from saccade.data.size import DEFLATE, check_promise
from saccade.errors import InputError

_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
_GZIP_MAGIC = b"\x1f\x8b"
# Scans take the time of level 1 and the size of level 6; label maps lie between the two in both.
_COMPRESSION = 3
# What may follow the voxels of a packed file: it could be unpacked for hours.
_MOST_BEHIND = 1 << 26


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, Any]:
    """Array (its dtype after the rescale), affine (RAS, mm) and header of a NIfTI-1 or NIfTI-2 file.

    Raises:
        InputError: If the file is empty, cut short, damaged, no NIfTI, or holds colours or complex numbers.
    """
    with _opened(path) as (stream, header_class):
        image = _image_class(header_class).from_stream(stream)
        shape, packed = checked_shape(image.shape, path), isinstance(stream, gzip.GzipFile)
        bits = 8 * storage_dtype(image.get_data_dtype(), path).itemsize
        check_promise(shape, bits, path, file_bytes=path.stat().st_size, packing=DEFLATE if packed else 1)
        affine = header_affine(image.header, path)
        array = _values(image, path).reshape(shape)
        if isinstance(stream, gzip.GzipFile):
            _check_end(stream, path)
        return array, affine, image.header


def read_nifti_grid(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine from the header alone."""
    with _opened(path) as (stream, header_class):
        header = header_class.from_fileobj(stream)
        return checked_shape(header.get_data_shape(), path), header_affine(header, path)


def write_nifti(array: np.ndarray, affine: np.ndarray, header: Any, path: Path) -> None:
    """Write a file whose header is ``header`` (None: a new one) with only what the array makes necessary changed.

    qform, sform, their codes, units, description and extensions stay as they are unless the affine is another than
    the header's. Equal content gives equal bytes.
    """
    array = np.asarray(array, dtype=storage_dtype(array.dtype, path))
    header = for_array(header, array) if header is not None else _new_header(array)
    if not np.array_equal(header_affine(header, path), affine):
        header = with_affine(header, affine)
    image = _image_class(type(header))(array, header.get_best_affine(), header)
    with open(path, "wb") as raw:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as stream:
                image.to_stream(stream)
        else:
            image.to_stream(raw)


def header_affine(header: Any, who: Any) -> np.ndarray:
    """Voxel index -> RAS world in mm: the sform where its code is set, else the qform, else the header's default.

    Metres and micrometres become millimetres, as ITK has it too.
    """
    try:
        affine = np.array(header.get_best_affine(), dtype=np.float64)
    except HeaderDataError as error:
        raise InputError(f"{who}: the qform in its header is not a rotation ({one_line(error)}).") from error
    factor = _MM_PER_UNIT.get(_length_unit(header))
    if factor is not None:
        affine[:3] *= factor
    return checked_affine(affine, who)


def storage_dtype(dtype: np.dtype, who: Any) -> np.dtype:
    """The dtype under which values are kept in memory and on disk: the same one wherever the formats have it.

    Raises:
        InputError: For colours, complex numbers and anything else that is not one real number per voxel.
    """
    if dtype.fields is not None:
        raise InputError(f"{who}: one number per voxel is needed, got colours ({', '.join(dtype.fields)}).")
    if dtype.kind not in "biuf":
        raise InputError(f"{who}: real numbers are needed, got voxels of type {dtype}.")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize == 2 else np.float64)
    return dtype.newbyteorder("=")


def for_array(header: Any, array: np.ndarray) -> Any:
    """A copy of the header for other values on the same grid: its dtype and shape set, its rescale cleared."""
    header = header.copy()
    dtype = storage_dtype(array.dtype, "header")
    if dtype != header.get_data_dtype().newbyteorder("="):
        # The display window belonged to the old values: it would show a label map as one grey.
        header["cal_min"] = header["cal_max"] = 0
    header.set_data_dtype(dtype)
    pixdim = header["pixdim"].copy()
    header.set_data_shape(array.shape)
    header["pixdim"] = pixdim  # of which the line before clears what lies beyond the array's axes
    header.set_slope_inter(None, None)
    return header


def with_affine(header: Any, affine: np.ndarray) -> Any:
    """A copy of the header that says ``affine`` in its sform, and in its qform where a qform can say it."""
    header = header.copy()
    codes = [int(header[key]) for key in ("sform_code", "qform_code")]
    header.set_xyzt_units("mm", header.get_xyzt_units()[1])
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_sform(affine, codes[0] or codes[1] or 1)
    try:
        header.set_qform(affine, codes[1] or codes[0] or 1, strip_shears=False)
    except HeaderDataError:
        header.set_qform(None)
    return header


def _new_header(array: np.ndarray) -> Any:
    header_class = nib.Nifti2Header if max(array.shape) > np.iinfo(np.int16).max else nib.Nifti1Header
    header = for_array(header_class(), array)
    header.set_xyzt_units("mm")
    return header


def _image_class(header_class: type) -> Any:
    return nib.Nifti2Image if issubclass(header_class, nib.Nifti2Header) else nib.Nifti1Image


def _length_unit(header: Any) -> str:
    try:
        return str(header.get_xyzt_units()[0])
    except KeyError:  # a code that the format does not define says nothing
        return "unknown"


def _check_end(stream: gzip.GzipFile, path: Path) -> None:
    """Read on to the check sum at the end of a gzip file, which is only compared when it is reached."""
    behind = 0
    while part := stream.read(1 << 20):
        behind += len(part)
        if behind > _MOST_BEHIND:
            raise InputError(f"{path}: must end with its voxels, {_MOST_BEHIND >> 20} MB and more come behind them.")


def _values(image: Any, path: Path) -> np.ndarray:
    """The voxels after the rescale; integers stay integers where slope and intercept are whole numbers."""
    stored = image.get_data_dtype()
    dtype = storage_dtype(stored, path)
    proxy = image.dataobj
    try:
        voxels = proxy.get_unscaled()
        # An unpacked file comes as a map of the file, which may be overwritten while the volume lives.
        array = np.array(voxels, dtype=dtype, copy=True if isinstance(voxels, np.memmap) else None)
    except OSError as error:
        if not str(error).startswith("Expected"):
            raise
        promised = math.prod(image.shape) * stored.itemsize
        raise InputError(f"{path}: the file is truncated (its header promises {promised} bytes of voxels).") from error
    slope, intercept = float(proxy.slope), float(proxy.inter)
    if (slope, intercept) == (1.0, 0.0):
        return array
    if dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = [int(array.min()) * int(slope) + int(intercept), int(array.max()) * int(slope) + int(intercept)]
        for wider in (dtype, np.int16, np.int32, np.int64):
            limits = np.iinfo(wider)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                return (array.astype(np.int64) * int(slope) + int(intercept)).astype(wider)
    return np.asarray(array * slope + intercept, dtype=np.result_type(dtype, np.float32))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], Any]]:
    """The (unpacked) bytes of the file and the header class that fits them; every failure becomes one InputError."""
    # nibabel prints each harmless repair of a header to stderr.
    logger, level = nib.imageglobals.logger, nib.imageglobals.logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with open(path, "rb") as raw:
            magic = raw.read(2)
            raw.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if magic == _GZIP_MAGIC else raw  # type: ignore[assignment]
            start = stream.read(540)
            stream.seek(0)
            # Warnings of nibabel and numpy about odd headers: what cannot be used is refused, the rest is as it says.
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                yield stream, _header_class(start, path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the file is truncated or damaged ({one_line(error)}).") from error
    except (OSError, ValueError, OverflowError, HeaderDataError, ImageFileError, WrapStructError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({one_line(error)}).") from error
    finally:
        logger.setLevel(level)


def _header_class(start: bytes, path: Path) -> Any:
    if not start:
        raise InputError(f"{path}: the file is empty.")
    for header_class in (nib.Nifti1Header, nib.Nifti2Header):
        size = header_class.template_dtype.itemsize
        if header_class.may_contain_header(start[:size]):
            header = header_class(start[:size], check=False)
            _check_raw(header, path)
            return nib.Nifti2Header if header_class is nib.Nifti2Header else nib.Nifti1Header
    raise InputError(f"{path}: not a NIfTI file (its header has no NIfTI magic).")


def _check_raw(header: Any, path: Path) -> None:
    """Refuse what nibabel would silently repair."""
    if not bytes(header["magic"]).startswith(b"n+"):
        raise InputError(f"{path}: half of a .hdr/.img pair; one file with header and voxels is needed.")
    spacing = header["pixdim"][1:4][: int(header["dim"][0])]
    if int(header["sform_code"]) <= 0 and not (np.isfinite(spacing) & (spacing != 0)).all():
        raise InputError(
            f"{path}: the voxel spacing must be above zero on every axis, "
            f"got ({', '.join(f'{value:g}' for value in spacing)}) mm."
        )
