"""Which cases are held out, and proof of which files they were."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from saccade.errors import InputError


def make_folds(ids: Sequence[str], folds: int, seed: int = 0) -> list[list[str]]:
    """Deal cases out to folds of (nearly) equal size: each is held out once.

    The order is that of a hash of seed and id, so the folds depend on nothing but the set of ids and the seed: not on
    the order of a folder's listing, nor on a random generator's version.

    Args:
        ids: Case ids, each once, in any order.
        folds: 2 or more, at most as many as there are ids.
        seed: Another seed deals differently.

    Returns:
        The ids of each fold, sorted; sizes differ by at most 1.

    Raises:
        InputError: If an id occurs twice, or the number of folds does not fit.

    Example:
        >>> [len(fold) for fold in make_folds(["a", "b", "c", "d", "e"], folds=2)]
        [3, 2]
    """
    if len(set(ids)) != len(ids):
        twice = sorted({id for id in ids if list(ids).count(id) > 1})
        raise InputError(f"make_folds: each case id must occur once, got {', '.join(twice)} again.")
    if not 2 <= folds <= len(ids):
        raise InputError(f"make_folds: folds must be from 2 to the number of cases ({len(ids)}), got {folds}.")
    dealt = sorted(ids, key=lambda id: hashlib.sha256(f"{seed}/{id}".encode()).digest())
    return [sorted(dealt[number::folds]) for number in range(folds)]


def file_hash(path: Path | str) -> str:
    """SHA-256 of a file, as hexadecimal text; of a folder, over the relative names and contents of all its files.

    Raises:
        InputError: If there is nothing at that path.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder.")
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\n".encode())
    return digest.hexdigest()
