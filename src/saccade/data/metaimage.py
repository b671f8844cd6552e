"""MetaImage files looked at before ITK reads them.

ITK's reader writes its complaints to stderr, goes beyond its arrays where a header has too many numbers, and gives an
image without a word where compressed voxels cannot be unpacked. What it would do that with is refused here.
"""

import math
import os
import re
from pathlib import Path

from saccade.data.size import DEFLATE, check_promise
from saccade.data.unpack import check_unpacks
from saccade.errors import InputError

_HEADER = 1 << 16  # bytes in which a header must end
_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_WHOLE = {"NDims": 4, "ElementNumberOfChannels": 10_000}  # the most that ITK has room for
_NEEDED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
# Keys with a number for each axis, or for each pair of axes.
_PER_AXIS = ("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation")
_PER_PAIR = ("TransformMatrix", "Rotation", "Orientation")


def check_header(path: Path) -> None:
    """Refuse a header that ITK could not take.

    Raises:
        InputError: One line that says what is wrong.
    """
    fields, _ = _fields(path)
    for key in _NEEDED:
        if key not in fields:
            raise InputError(f"{path}: cannot be read as MetaImage (its header has no {key}).")
    for key, most in _WHOLE.items():
        _check_whole(path, key, fields.get(key, ["1"]), most)
    axes, order = int(fields["NDims"][0]), list(fields)
    for key in (*_PER_AXIS, *_PER_PAIR):
        wanted = axes if key in _PER_AXIS else axes**2
        for text in fields.get(key, ()):
            if order.index(key) < order.index("NDims") or not _is_numbers(text, wanted, whole=key == "DimSize"):
                raise InputError(f"{path}: {key} must be {wanted} numbers behind NDims, got {text[:60]}.")
    kind = re.fullmatch(r"MET_U?(\w+)", fields["ElementType"][0])
    if kind is None or kind[1] not in _BYTES:
        raise InputError(f"{path}: ElementType must be a type such as MET_SHORT, got {fields['ElementType'][0][:60]}.")


def check_voxels(path: Path) -> None:
    """Refuse voxels in one file that are too few there, or cannot be unpacked; the header must have been checked.

    Raises:
        InputError: One line that says what is wrong.
    """
    fields, start = _fields(path)
    count = math.prod(int(size) for size in fields["DimSize"][0].split())
    channels, kind = fields.get("ElementNumberOfChannels", ["1"])[0], fields["ElementType"][0]
    expected = count * int(channels) * _BYTES[kind.removeprefix("MET_").removeprefix("U")]
    name = fields["ElementDataFile"][0]
    if name.upper().startswith("LIST") or "%" in name:  # a file for each slice
        return
    local = name.upper() == "LOCAL"
    place = path if local else path.parent / name
    if not os.path.isfile(place):  # os.path, as a damaged name may be one that pathlib will not ask for
        raise InputError(f"{path}: its voxels must be in {name[:200]}, there is no such file.")
    begin, packed = start if local else 0, _says_yes(fields, "CompressedData")
    if packed or _says_yes(fields, "BinaryData"):
        there = max(0, place.stat().st_size - begin)
        check_promise([expected], 8, path, file_bytes=there, packing=DEFLATE if packed else 1)
    if packed:
        size = fields.get("CompressedDataSize", [""])[0]
        limit = int(size) if size.isascii() and size.isdigit() and len(size) < 18 else None
        check_unpacks(place, begin, expected, limit=limit, who=path)


def _fields(path: Path) -> tuple[dict[str, list[str]], int]:
    """Values by key, in the order of the header, and where the header ends."""
    with path.open("rb") as file:
        head = file.read(_HEADER).decode("latin-1")
    fields: dict[str, list[str]] = {}
    place = 0
    while "ElementDataFile" not in fields and place < len(head):
        end = head.find("\n", place) % (len(head) + 1)  # the last line need not end
        line, place = head[place:end].strip(), end + 1
        key, equals, value = re.fullmatch(r"([^=:]*)([=:]?)(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
        if line and not equals:
            raise InputError(f"{path}: cannot be read as MetaImage (its header has a line without =, {line[:60]!r}).")
        fields.setdefault(key.strip(), []).append(value.strip())
    return fields, place


def _check_whole(path: Path, key: str, values: list[str], most: int) -> None:
    good = all(value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= most for value in values)
    if not good or len(values) > 1:
        shown = " and ".join(value[:60] for value in values[:2])
        raise InputError(f"{path}: {key} must be one whole number, at most {most}, got {shown}.")


def _is_numbers(text: str, count: int, *, whole: bool) -> bool:
    words = text.split()
    pattern = r"[1-9]\d{0,17}" if whole else r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
    return len(words) == count and all(re.fullmatch(pattern, word, re.ASCII | re.IGNORECASE) for word in words)


def _says_yes(fields: dict[str, list[str]], key: str) -> bool:
    return fields.get(key, [""])[-1][:1] in ("T", "t", "1")
