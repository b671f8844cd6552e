"""One volume from input to output: the voxels never travel without their affine and header."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.dicom import is_dicom, read_dicom, read_dicom_grid
from saccade.data.grid import checked_affine, checked_shape
from saccade.data.itk import read_itk, read_itk_grid, write_itk
from saccade.data.nifti import for_array, read_nifti, read_nifti_grid, storage_dtype, write_nifti
from saccade.errors import InputError
from saccade.files import atomic

_NIFTI = (".nii.gz", ".nii")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE = (*_NIFTI, ".nrrd", ".mha")


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on their grid in the world.

    Attributes:
        array: (i, j, k) or (i, j, k, c), in the file's own dtype after its rescale; integers stay integers.
        affine: 4x4 float64, voxel index -> world position in mm, x to the right, y to the front, z up (RAS).
        header: The NIfTI header it came with; None for other formats.
        source: The file or folder it was read from.

    Raises:
        InputError: If the array has other than 3 or 4 axes or an empty one, or the affine cannot be inverted.

    Example:
        >>> volume = Volume(np.zeros((5, 7, 11), np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
        >>> volume.like(np.ones((5, 7, 11), bool)).spacing_mm
        (2.0, 2.0, 3.0)
    """

    array: np.ndarray
    affine: np.ndarray
    header: Any = None
    source: Path | None = None

    def __post_init__(self) -> None:
        who = self.source or "Volume"
        if self.array.ndim not in (3, 4):
            raise InputError(f"{who}: a volume has 3 axes and at most one for channels, got shape {self.array.shape}.")
        checked_shape(self.array.shape, who)
        object.__setattr__(self, "affine", checked_affine(self.affine, who))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k; channels not counted."""
        i, j, k = self.array.shape[:3]
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j, k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def channels(self) -> int:
        """Values per voxel; 1 for an array of three axes."""
        return int(self.array.shape[3]) if self.array.ndim == 4 else 1

    def like(self, array: np.ndarray, dtype: Any = None) -> "Volume":
        """Other values on this very grid, under this header, whose dtype becomes the array's.

        Args:
            array: (i, j, k) or (i, j, k, c).
            dtype: Cast the array to this first; default its own.

        Raises:
            InputError: If the spatial shape is not this volume's.
        """
        array = np.asarray(array, dtype=dtype)
        if array.shape[:3] != self.shape or array.ndim not in (3, 4):
            raise InputError(f"Volume.like: the array must have the spatial shape {self.shape}, got {array.shape}.")
        storage_dtype(array.dtype, "Volume.like")
        header = None if self.header is None else for_array(self.header, array)
        return Volume(array, self.affine, header, self.source)


def read_volume(path: Path | str) -> Volume:
    """Read a .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd file, a folder with one DICOM series, or one file of a series.

    An image becomes a volume of one slice; a fourth axis becomes channels; trailing axes of 1 are dropped.

    Raises:
        InputError: If nothing can be read there; one line that names the file.

    Warns:
        GeometryWarning: If a DICOM series had to be resampled (gantry tilt, missing slices).
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix in _NIFTI and not path.is_dir():
        return Volume(*read_nifti(path), path)
    if suffix in _ITK and not path.is_dir():
        return Volume(*read_itk(path), None, path)
    if _holds_dicom(path):
        return Volume(*read_dicom(path), None, path)
    raise _unknown_format(path)


def read_grid(path: Path | str) -> tuple[tuple[int, int, int], np.ndarray]:
    """Spatial shape and affine that ``read_volume`` would give, without reading the voxels.

    Raises:
        InputError: As ``read_volume``, as far as the header shows it.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix in _NIFTI and not path.is_dir():
        shape, affine = read_nifti_grid(path)
    elif suffix in _ITK and not path.is_dir():
        shape, affine = read_itk_grid(path)
    elif _holds_dicom(path):
        shape, affine = read_dicom_grid(path)
    else:
        raise _unknown_format(path)
    i, j, k = shape[:3]
    return (i, j, k), affine


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write .nii, .nii.gz, .nrrd or .mha, by suffix; the file is whole or not there.

    The dtype on disk is the array's (bool as uint8, float16 as float32), never rescaled. NIfTI keeps the volume's
    header, so that qform, sform, codes and units come back as they were and the affine bit for bit.

    Raises:
        InputError: If the suffix is another, or the array holds no real numbers.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix not in WRITABLE:
        raise InputError(f"{path}: volumes are written as {', '.join(WRITABLE)}, got another suffix.")
    storage_dtype(volume.array.dtype, path)
    with atomic(path) as temporary:
        if suffix in _NIFTI:
            write_nifti(volume.array, volume.affine, volume.header, temporary)
        else:
            write_itk(volume.array, volume.affine, temporary)


def same_grid(a: Volume, b: Volume, tolerance_mm: float = 1e-3) -> bool:
    """Whether both have the same spatial shape and no voxel of one lies further than the tolerance from the other's."""
    if a.shape != b.shape:
        return False
    # Positions are affine in the index: the largest distance is found at a corner.
    corners = np.array([[*index, 1] for index in product(*((0, size - 1) for size in a.shape))])
    return bool(np.linalg.norm(corners @ (a.affine - b.affine).T, axis=1).max() <= tolerance_mm)


def is_volume_file(path: Path | str) -> bool:
    """Whether the name is one of a volume file; hidden ones (macOS leaves ``._`` copies) are not."""
    path = Path(path)
    return _suffix(path) is not None and not path.name.startswith(".")


def strip_suffix(path: Path | str) -> str:
    """The file name without its volume suffix: ``img0001.nii.gz`` -> ``img0001``; other names stay whole."""
    path = Path(path)
    suffix = _suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in (*_NIFTI, *_ITK) if name.endswith(suffix) and name != suffix), None)


def _holds_dicom(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and is_dicom(path))


def _unknown_format(path: Path) -> InputError:
    if not path.exists():
        return InputError(f"{path}: there is no such file or folder.")
    known = ", ".join((*_NIFTI, *_ITK))
    return InputError(f"{path}: not a volume. Give a file that ends in {known}, or a DICOM series.")
