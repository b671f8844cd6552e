"""How much a header may promise: what its file can hold, and what the memory of the machine can."""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from saccade.errors import InputError

DEFLATE = 1032  # the most bytes that one byte of a deflated file can stand for (zlib's own documentation)


def check_promise(
    shape: Sequence[int], bits: int, who: object, *, file_bytes: int | None = None, packing: int = 1
) -> None:
    """Refuse voxels that cannot be there, before any space is made for them.

    Args:
        shape: Voxels along each axis, and channels, as the header has them.
        bits: Of each value.
        who: What the error message begins with, mostly a path.
        file_bytes: Size of the file that holds them; None where that says nothing (several files, a codec).
        packing: How many bytes one byte of the file can stand for.

    Raises:
        InputError: If they are more than the file can hold, or than this machine's memory.
    """
    promised = math.prod(int(size) for size in shape) * bits // 8
    if file_bytes is not None and promised > file_bytes * packing:
        raise InputError(f"{who}: the file is truncated (its header promises {promised} bytes of voxels).")
    check_memory(promised, f"{who}: its voxels take")


def check_memory(needed: int, what: str) -> None:
    """Refuse what this machine cannot hold.

    Args:
        needed: Bytes.
        what: The error message up to the number.

    Raises:
        InputError: If it is more than the machine, or the container, has.
    """
    if needed > (there := memory_bytes()):
        raise InputError(f"{what} {needed / 1e9:.3g} GB, this machine has {there / 1e9:.3g} GB of memory.")


@cache
def memory_bytes() -> int:
    """Memory of this machine, or of the container that the process lives in."""
    limits = [2**46]
    with suppress(ValueError, OSError, AttributeError):  # Windows does not tell in this way
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no container, or one without a limit: "max"
            limits.append(int(Path(path).read_text()))
    return min(limit for limit in limits if limit > 0)
