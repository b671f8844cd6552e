"""Files that are either whole or not there: written beside their place, then renamed into it."""

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary name in the same folder (same suffixes); the file takes its real name when the block ends well.

    After an exception the temporary file is gone and whatever stood at ``path`` before is untouched. The temporary file
    is this block's alone, whatever other threads, processes and machines write to the same place. The content is on
    the disk before it takes the name: neither a power cut nor a file server that says late that it is full leaves a
    cut file.

    Raises:
        OSError: What the machine refuses, with ``path`` as its file name where it has none.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _reserve(path)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):  # the disk has become read-only: what went wrong before is what counts
                temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is not None and (error.filename is None or ".partial." in str(error.filename)):
            error.filename = str(path)
        raise


def _reserve(path: Path) -> Path:
    """An empty file in the same folder that nobody else has, with the access rights that any new file gets."""
    while True:
        temporary = path.with_name(f".{secrets.token_hex(4)}.partial.{path.name}")
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return temporary


def _flush(path: Path) -> None:
    """Wait until a file is on the disk; here a file server says what it could not keep."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # a file system that does not know the word
            raise
    finally:
        os.close(descriptor)


def check_folder(path: Path | str) -> None:
    """Refuse a place where no folder can stand, before work is done whose results belong there.

    Raises:
        InputError: If the path, or anything above it, is a file.
    """
    path = Path(path)
    for place in (path, *path.parents):
        if place.is_dir():
            return
        if place.exists():
            raise InputError(f"{path}: must be a folder, {'that' if place == path else place} is a file.")


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file atomically; NaN becomes null, so that every reader can parse it. None: all on one line."""
    write_text(path, json.dumps(_plain(content), indent=indent, ensure_ascii=False) + "\n")


def write_tensors(path: Path | str, tensors: "Mapping[str, Tensor]") -> None:
    """Write a safetensors file atomically."""
    from safetensors.torch import save

    content = save(dict(tensors))
    with atomic(path) as temporary:
        temporary.write_bytes(content)  # safetensors' own way to a file says of a full disk that an argument is invalid


def is_within(path: Path, folder: Path | None) -> bool:
    """Whether a path lies in a folder, by whatever names they are called; in none where there is no folder."""
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If the file is missing or is not JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from error


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if hasattr(content, "tolist"):
        return _plain(content.tolist())
    if isinstance(content, float) and content != content:
        return None
    return str(content) if isinstance(content, Path) else content
