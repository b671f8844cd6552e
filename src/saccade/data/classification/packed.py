"""Many images in one file: MedMNIST's npz archives and MNIST's idx files, read without unpickling anything."""

import gzip
import io
import math
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from saccade.errors import InputError

MOST_BYTES = 32 * 2**30
COLOURS = (1, 3, 4)
_CHUNK = 1 << 24
_MEDMNIST = {"train": "train", "val": "validation", "test": "test"}
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def npz_parts(path: Path) -> list[tuple[str, str | None, str, str | None]]:
    """The arrays of a MedMNIST archive that belong together.

    Returns:
        (prefix, split, name of the images, name of the targets or None) for ``train``, ``val`` and ``test`` as far as
        they are there; or one part of an archive that has ``images`` and ``labels``.

    Raises:
        InputError: If it cannot be read or has no images.
    """
    names = _npz_names(path)
    parts: list[tuple[str, str | None, str, str | None]] = [
        (prefix, split, f"{prefix}_images", f"{prefix}_labels" if f"{prefix}_labels" in names else None)
        for prefix, split in _MEDMNIST.items()
        if f"{prefix}_images" in names
    ]
    if not parts and "images" in names:
        parts = [("image", None, "images", "labels" if "labels" in names else None)]
    if not parts:
        found = ", ".join(sorted(names)[:8]) or "nothing"
        raise InputError(f"{path}: must hold train_images and train_labels (or images and labels), holds {found}.")
    return parts


def packed_array(path: Path, member: str) -> np.ndarray:
    """An array of a packed file, kept in memory while the file stays as it is.

    Args:
        path: An archive, or an idx file where ``member`` is empty.
        member: Name in the archive.

    Raises:
        InputError: If it cannot be read, is too large, or holds objects.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    return _kept(path, member, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _kept(path: Path, member: str, changed: int, size: int) -> np.ndarray:
    array = _read_npz(path, member) if member else read_idx(path)
    array.setflags(write=False)
    return array


def has_channels(shape: tuple[int, ...]) -> bool:
    """Whether the last axis of a stack of images (n, ...) holds colours: 1, 3 or 4 of them, on at least two axes."""
    return len(shape) == 5 or (len(shape) == 4 and shape[-1] in COLOURS and shape[-1] < min(shape[1:3]))


def read_idx(path: Path) -> np.ndarray:
    """An array in MNIST's format, gzipped or not: two zero bytes, type, number of axes, their lengths, the values.

    Raises:
        InputError: If the file is no such array, is cut, or has bytes left over.
    """
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not 1 <= head[3] <= 5:
                raise InputError(f"{path}: must be an idx file of MNIST's form, begins with other bytes.")
            dtype = np.dtype(_IDX_TYPES[head[2]])
            lengths = file.read(4 * head[3])
            if len(lengths) < 4 * head[3]:
                raise InputError(f"{path}: is cut off, its header says {head[3]} axes.")
            shape = struct.unpack(f">{head[3]}I", lengths)
            expected = math.prod(shape) * dtype.itemsize
            _check_size(path, expected)
            content = _read(file, expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({str(error) or type(error).__name__}).") from None
    if len(content) != expected:
        raise InputError(
            f"{path}: must hold {expected} bytes of values, holds {'fewer' if len(content) < expected else 'more'}."
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read(file: io.BufferedIOBase, most: int) -> bytes:
    """Up to so many bytes, without room for those that a header only promises."""
    parts = []
    while most > 0 and (part := file.read(min(most, _CHUNK))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _npz_names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception as error:  # of damage zipfile has BadZipFile, NotImplementedError, struct.error and more to say
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise InputError(f"{path}: cannot be read as a NumPy archive ({reason or type(error).__name__}).") from None


def _read_npz(path: Path, member: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive.getinfo(f"{member}.npy").file_size)
        with np.load(path, allow_pickle=False) as file:
            array = file[member]
    except InputError:
        raise
    except Exception as error:  # zip, zlib and NumPy each have errors of their own for damage
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise InputError(f"{path}: array '{member}' cannot be read ({reason or type(error).__name__}).") from None
    if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what does not begin as an array
        raise InputError(f"{path}: '{member}' must be an array, is something else.")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: array '{member}' must hold numbers, holds {array.dtype}.")
    return array


def _check_size(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise InputError(f"{path}: must hold at most {MOST_BYTES // 2**30} GB, its header says {size / 2**30:.0f} GB.")
