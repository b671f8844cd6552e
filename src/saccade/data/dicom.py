"""DICOM series: which files belong together, and their pixels in Hounsfield (or the scanner's own) units."""

import struct
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from saccade.data.grid import one_line
from saccade.data.size import DEFLATE, check_memory, check_promise
from saccade.data.slices import GeometryWarning, Slice, Stack, resample, stack
from saccade.errors import InputError

__all__ = ["GeometryWarning", "find_stack", "is_dicom", "read_dicom", "read_dicom_grid"]

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
# What pydicom raises on damaged bytes, as found by damaging them.
_UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    NotImplementedError,
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
# How many bytes one byte of the file can stand for; there is no telling for the codecs.
_PACKING = {
    ImplicitVRLittleEndian: 1,
    ExplicitVRLittleEndian: 1,
    ExplicitVRBigEndian: 1,
    DeflatedExplicitVRLittleEndian: DEFLATE,
}
_PIXEL_DATA, _UNDEFINED = 0x7FE00010, 0xFFFFFFFF
_SHOWN = 5  # series in an error message
_LARGEST = 1e6  # of the numbers that are read here; as millimetres it is a kilometre
_NO_SCANS = ("SEG", "RTDOSE")  # made from scans, on grids of their own
_TAGS = [
    "SOPClassUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "Modality",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: it says so after its preamble, or its name does."""
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    with open(path, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_dicom(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array (i, j, k) and affine (RAS, mm) of the one series in a folder, or of the series that a file belongs to.

    i runs along the image's rows, j down its columns, k along the slice normal; slices are sorted by their position
    alone. Slope and intercept are applied slice by slice: int16 where that is exact, else float32.

    Raises:
        InputError: If there is no series, more than one, or one that is no stack of parallel slices.

    Warns:
        GeometryWarning: If the series was resampled, because of gantry tilt or missing slices.
    """
    plan = find_stack(path)
    check_memory(4 * int(np.prod(plan.shape, dtype=object)), f"{path}: its voxels take")
    for slice_ in plan.slices:
        _check_lengths(slice_.file)
    with ThreadPoolExecutor(max_workers=4) as pool:
        array = _joined(pool.map(_pixels, plan.slices))
    for message in plan.faults:
        warnings.warn(f"{path}: {message}", GeometryWarning, stacklevel=3)
    return (resample(array, plan) if plan.faults else array), plan.affine


def read_dicom_grid(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine that ``read_dicom`` gives, without reading pixels."""
    plan = find_stack(path)
    return plan.shape, plan.affine


def find_stack(path: Path) -> Stack:
    """The slices of the one series there, in order along their normal, and the grid that ``read_dicom`` puts them on.

    Raises:
        InputError: As ``read_dicom``, as far as the headers show it.
    """
    with warnings.catch_warnings(action="ignore"):  # pydicom remarks on values that nobody asks for
        return _find_stack(path)


def _find_stack(path: Path) -> Stack:
    if path.is_dir():
        files: Iterable[Path] = (file for file in sorted(path.rglob("*")) if file.is_file())
        wanted = None
    else:
        files = (file for file in sorted(path.parent.iterdir()) if file.is_file())
        wanted = str(_header(path).get("SeriesInstanceUID", ""))
    series: dict[str, list[pydicom.Dataset]] = {}
    for file in files:
        if not file.name.startswith(".") and file.name != "DICOMDIR" and is_dicom(file):
            header = _header(file)
            # reports, plans and contours have no rows
            if "Rows" in header and str(header.get("Modality")) not in _NO_SCANS:
                series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    if wanted is not None:
        series = {wanted: series.get(wanted, [])}
    if not any(series.values()):
        raise InputError(f"{path}: no DICOM image in it. Give the folder that holds the .dcm files of one series.")
    if len(series) > 1:
        listed = "; ".join(_described(uid, headers) for uid, headers in list(series.items())[:_SHOWN])
        listed += f"; and {len(series) - _SHOWN} more" if len(series) > _SHOWN else ""
        raise InputError(f"{path}: one DICOM series is needed, found {len(series)}: {listed}. Give one of these files.")
    return stack([_slice(header) for header in next(iter(series.values()))], path)


def _described(uid: str, headers: list[pydicom.Dataset]) -> str:
    first = headers[0]
    name = f"'{_short(first.get('SeriesDescription') or uid)}'"
    unit = "slice" if len(headers) == 1 else "slices"
    return f"{_short(first.get('Modality', '?'))} {name} with {len(headers)} {unit} ({first.filename})"


def _header(file: Path) -> pydicom.Dataset:
    try:
        # Files from before 1993 have no preamble; the suffix vouches for those.
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        if "SOPClassUID" not in header:
            raise InvalidDicomError("it has no SOP class")
        for tag in _TAGS:  # values are parsed when they are first asked for: bad ones shall show here
            header.get(tag)
    except _UNREADABLE as error:
        raise InputError(f"{file}: cannot be read as DICOM ({one_line(error)[:200]}).") from error
    return header


def _slice(header: pydicom.Dataset) -> Slice:
    """The geometry of one file, in LPS mm.

    Raises:
        InputError: If it is a multi-frame or colour image, or does not say where it lies.
    """
    file = Path(str(header.filename))
    if header.get("NumberOfFrames") not in (None, 1):
        got = _short(header.NumberOfFrames)
        raise InputError(
            f"{file}: one image per file is needed, got {got} frames in one (enhanced DICOM). "
            "Convert it to NIfTI, for instance with dcm2niix."
        )
    if header.get("SamplesPerPixel") not in (None, 1):
        got = _short(header.SamplesPerPixel)
        raise InputError(f"{file}: one number per voxel is needed, got {got} (a colour image).")
    # DICOM names the distance between rows first; i runs along a row, so its step is the second number
    pixel_mm = _numbers(header, "PixelSpacing", 2)[::-1]
    if not (pixel_mm > 0).all():
        raise InputError(f"{file}: PixelSpacing must be above zero, got {pixel_mm[1]:g} and {pixel_mm[0]:g} mm.")
    size = (int(_numbers(header, "Columns", 1)[0]), int(_numbers(header, "Rows", 1)[0]))
    syntax = header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    bits = int(_numbers(header, "BitsAllocated", 1)[0]) if header.get("BitsAllocated") else 16
    file_bytes = file.stat().st_size if syntax in _PACKING else None
    check_promise(size, bits, file, file_bytes=file_bytes, packing=_PACKING.get(syntax, 1))
    thickness_mm = float(_numbers(header, "SliceThickness", 1)[0]) if header.get("SliceThickness") else 0.0
    return Slice(
        file=file,
        position=_numbers(header, "ImagePositionPatient", 3),
        orientation=_numbers(header, "ImageOrientationPatient", 6).reshape(2, 3),
        pixel_mm=pixel_mm,
        size=size,
        thickness_mm=max(thickness_mm, 0.0),
    )


def _numbers(header: pydicom.Dataset, tag: str, count: int) -> np.ndarray:
    try:
        numbers = np.array(header.get(tag), dtype=np.float64).reshape(count)
    except (TypeError, ValueError):
        numbers = np.full(count, np.nan)
    if not (np.abs(numbers) <= _LARGEST).all():  # nor NaN
        wanted = "a number" if count == 1 else f"{count} numbers"
        raise InputError(f"{header.filename}: {tag} must be {wanted}, got {_short(header.get(tag))}.")
    return numbers


def _short(value: object) -> str:
    """A value from a header in one short line, whatever it holds."""
    return " ".join(str(value).split())[:60]


def _check_lengths(file: Path) -> None:
    """Refuse elements that are longer than their file: GDCM makes room for what they promise, and fills it, first."""
    end = file.stat().st_size
    try:
        with warnings.catch_warnings(action="ignore"):
            data = pydicom.dcmread(file, force=True, defer_size=1024)
    except _UNREADABLE as error:
        raise InputError(f"{file}: cannot be read as DICOM ({one_line(error)[:200]}).") from error
    inflated = data.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    for part in (data.file_meta, data):
        for tag in tuple(part.keys()):
            item = part.get_item(tag, keep_deferred=True)
            if not isinstance(item, RawDataElement) or item.length == _UNDEFINED:
                continue
            there = len(item.value or b"") if inflated else end - item.value_tell
            if item.length > there:
                raise InputError(f"{file}: its pixels cannot be read; the file is truncated or damaged.")
            if tag == _PIXEL_DATA:  # some files have padding behind it
                break


def _pixels(slice_: Slice) -> np.ndarray:
    """(i, j), rescaled by this file's own slope and intercept. GDCM also unpacks every compressed transfer syntax."""
    try:
        image = SimpleITK.ReadImage(str(slice_.file), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise InputError(f"{slice_.file}: its pixels cannot be read; the file is truncated or damaged.") from error
    array = SimpleITK.GetArrayFromImage(image)
    if array.shape != (1, *slice_.size[::-1]):
        raise InputError(
            f"{slice_.file}: its pixels must be {slice_.size} as its header says, got {array.shape[::-1]}."
        )
    return array[0].T


def _joined(slices: Iterable[np.ndarray]) -> np.ndarray:
    """(i, j, k): int16 where that loses nothing, else float32."""
    array = np.stack(list(slices), axis=2)
    limits = np.iinfo(np.int16)
    if limits.min <= array.min() and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if array.dtype.kind in "iu" or np.array_equal(whole, array):
            return whole
    with np.errstate(over="ignore"):  # slopes that nobody meant: infinity is what whoever asks is told
        return array.astype(np.float32)
