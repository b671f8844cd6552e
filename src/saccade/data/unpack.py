"""Deflated voxels proved whole: ITK gives an image in silence, whatever is in it, where they cannot be unpacked."""

import zlib
from collections.abc import Iterator
from pathlib import Path

from saccade.errors import InputError

_CHUNK = 1 << 20


def check_unpacks(place: Path, start: int, expected: int, *, who: Path, limit: int | None = None) -> None:
    """Refuse a stream that is damaged, or ends too early; no more of it is unpacked than there should be.

    Args:
        place: The file, which may have zlib's form or gzip's.
        start: Where in it the stream begins.
        expected: Bytes that it must give at least.
        who: What the error message begins with.
        limit: Bytes of the file that belong to it; None for all that follow.

    Raises:
        InputError: One line that says what is wrong.
    """
    stream, total = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
    try:
        for chunk in _chunks(place, start, limit):
            while chunk and not stream.eof:
                total += len(stream.decompress(chunk, _CHUNK))
                if total > expected:
                    return
                chunk = stream.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"{who}: its voxels cannot be unpacked ({error}).") from None
    if not stream.eof or total < expected:
        raise InputError(f"{who}: the file is truncated (its header promises {expected} bytes of voxels).")


def _chunks(place: Path, start: int, limit: int | None) -> Iterator[bytes]:
    with place.open("rb") as file:
        file.seek(start)
        left = limit
        while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
            left = None if left is None else left - len(chunk)
            yield chunk
