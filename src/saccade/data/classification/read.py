"""One image from its file: pictures through Pillow, volumes through the readers of scans, packed arrays by index."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from saccade.data.classification.case import Packed
from saccade.data.classification.packed import has_channels, packed_array
from saccade.data.orient import to_canonical
from saccade.data.splits import file_hash
from saccade.data.volume import is_volume_file, read_volume, strip_suffix
from saccade.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
MOST_PIXELS = 100_000_000  # a file of some kilobytes can claim to be larger than memory
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class Image:
    """Values on a grid.

    Attributes:
        array: (rows, columns, c) or (i, j, k, c) with i, j, k along right, anterior, superior.
        spacing_mm: Distance of neighbours along each axis; None where the file says nothing of it.
    """

    array: np.ndarray
    spacing_mm: tuple[float, ...] | None

    @property
    def space(self) -> tuple[int, ...]:
        """The grid's size."""
        return tuple(self.array.shape[:-1])

    @property
    def colours(self) -> int:
        """Channels that differ: 1 for a picture whose three colours are equal everywhere."""
        count = self.array.shape[-1]
        equal = count == 3 and bool((self.array == self.array[..., :1]).all())
        return 1 if equal else count


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture."""
    return path.suffix.lower() in PICTURES


def is_image(path: Path) -> bool:
    """Whether a file's name is that of a picture or a volume."""
    return is_picture(path) or is_volume_file(path)


def without_suffix(path: PurePath | str) -> str:
    """A path without the suffix of a picture or volume, which may be a double one.

    >>> without_suffix("cat/tom.nii.gz"), without_suffix("cat/tom.JPG"), without_suffix("1.5")
    ('cat/tom', 'cat/tom', '1.5')
    """
    path = PurePath(path)
    if not path.name:
        return path.as_posix()
    name = path.stem if path.suffix.lower() in PICTURES else strip_suffix(path.name)
    return path.with_name(name).as_posix()


def read_image(source: Path | Packed) -> Image:
    """Read an image; a volume of one slice becomes a picture.

    Raises:
        InputError: If it cannot be read, is larger than 100 million pixels or empty, or has values that are no finite
            numbers.
    """
    if isinstance(source, Packed):
        image = _read_packed(source)
    elif is_picture(source):
        image = Image(_read_picture(source), None)
    else:
        image = _read_volume(source)
    if image.array.size == 0:
        raise InputError(f"{source}: must have pixels, has shape {image.space}.")
    if image.array.dtype.kind == "f" and not np.isfinite(image.array).all():
        raise InputError(f"{source}: values must be finite numbers, found NaN or infinity.")
    return image


def with_channels(image: Image, channels: int, where: str) -> np.ndarray:
    """The values as float32 with so many channels: grey is repeated, colours become their luminance.

    Raises:
        InputError: If the numbers do not fit together.
    """
    array = np.asarray(image.array, np.float32)
    if array.shape[-1] == channels:
        return array
    if channels == 1 and array.shape[-1] == 3:
        return array[..., :1] if image.colours == 1 else (array @ LUMINANCE)[..., None]
    if channels == 3 and array.shape[-1] == 1:
        return np.repeat(array, 3, -1)
    raise InputError(f"{where}: must have {channels} channel(s), has {array.shape[-1]}.")


def source_hash(source: Path | Packed) -> str:
    """SHA-256 of an image: of its file or, in a packed one, of its own values."""
    if not isinstance(source, Packed):
        return file_hash(source)
    array = packed_array(source.path, source.member)[source.index]
    return hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode() + array.tobytes()).hexdigest()


def _read_packed(source: Packed) -> Image:
    stack = packed_array(source.path, source.member)
    if stack.ndim not in (3, 4, 5) or not 0 <= source.index < len(stack):
        raise InputError(f"{source}: must be an image of a stack (n, rows, columns ...), found shape {stack.shape}.")
    array = stack[source.index]
    return Image(array if has_channels(stack.shape) else array[..., None], None)


def _read_picture(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own limit; ours follows, before anything is decoded
            with Pillow.open(path, formats=("PNG", "JPEG", "BMP")) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise InputError(
                        f"{path}: must have at most {MOST_PIXELS:,} pixels, has {file.width} x {file.height}."
                    )
                file.load()
                array = np.asarray(_plain(ImageOps.exif_transpose(file)))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file.") from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, DecompressionBombError
        reason = " ".join(str(error).replace(f" '{path}'", "").split())[:120].rstrip(".")
        raise InputError(f"{path}: cannot be read as a picture ({reason or type(error).__name__}).") from None
    return array if array.ndim == 3 else array[..., None]


def _plain(picture: Pillow.Image) -> Pillow.Image:
    """Grey in its own depth, all else as RGB; what is transparent keeps its colour."""
    if picture.mode in ("L", "I", "F") or picture.mode.startswith("I;16"):
        return picture
    return picture.convert("L" if picture.mode in ("1", "LA", "La") else "RGB")


def _read_volume(path: Path) -> Image:
    volume = to_canonical(read_volume(path))
    array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
    if volume.shape[2] == 1:
        return Image(array[:, :, 0], volume.spacing_mm[:2])
    return Image(array, volume.spacing_mm)
