"""Sizes of memory as people write them."""

import re

from saccade.errors import InputError

_UNITS = {
    "": 1, "B": 1, "K": 10**3, "KB": 10**3, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9, "T": 10**12, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip


def parse_size(option: str, text: str) -> int:
    """A number of bytes: ``4GB``, ``512 MB``, ``1.5GiB`` or ``4000000000``.

    Raises:
        InputError: If it is none, or less than one byte.

    >>> parse_size("--max-memory", "1.5 gb"), parse_size("--max-memory", "2GiB")
    (1500000000, 2147483648)
    """
    found = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or (count := int(float(found[1]) * unit)) < 1:
        raise InputError(f"{option}: must be a size such as 4GB, 512MB or 1.5GiB, got '{text}'.")
    return count
