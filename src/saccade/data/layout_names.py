"""The rule by which files belong together: case ids, and pairing by them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from saccade.data.volume import is_volume_file, strip_suffix
from saccade.errors import InputError

_SUFFIX = re.compile(r"(.+?)[._-](?:seg|segmentation|labels?|labelmap|dseg|mask|gt|pred|prediction)", re.IGNORECASE)
_PREFIX = re.compile(r"(?:labels?|seg|segmentation|mask|gt|pred)[._-](.+)", re.IGNORECASE)
_IMAGE_PREFIX = re.compile(r"(?:img|image|volume|scan)[._-](.+)", re.IGNORECASE)
_BTCV_LABEL = re.compile(r"label(\d+)", re.IGNORECASE)
_BTCV = re.compile(r"img(\d+)")
_FIRST_CHANNEL = re.compile(r"(.+)_0000")


def stem(path: Path | str) -> str:
    """The file name without its (double) suffix."""
    return str(strip_suffix(Path(path).name))


def case_id(path: Path | str) -> str:
    """The case that an image, a label map or a prediction belongs to, from its file name alone.

    ``img0001``, ``label0001`` and ``img0001_seg`` are all ``img0001``; ``hippocampus_001`` is itself. The
    nnU-Net channel suffix ``_0000`` stays: only the other folder can tell it from a number (see `match_ids`).

    >>> case_id("seg/img0001_seg.nii.gz"), case_id("label0001.nii.gz")
    ('img0001', 'img0001')
    """
    name = stem(path)
    for rule in (_SUFFIX, _PREFIX):
        if found := rule.fullmatch(name):
            name = found[1]
    if found := _BTCV_LABEL.fullmatch(name):
        return f"img{found[1]}"
    return name


def match_key(id: str) -> str:
    """What two ids must share to be one case: no case of letters, no image prefix, numbers without leading zeros."""
    key = id.casefold()
    if found := _IMAGE_PREFIX.fullmatch(key):
        key = found[1]
    if found := _BTCV.fullmatch(key):
        key = f"img{int(found[1])}"
    return key


def match_ids(images: Iterable[str], labels: Iterable[str]) -> dict[str, str]:
    """Pair two lists of case ids one to one, by the strictest rule that fits each.

    First by `match_key`; then with ``_0000`` dropped on one side; then ``label0007`` with whatever else ends in
    the number 7. A rule pairs only ids that it leaves alone on both sides, so nothing is paired on a guess.

    Returns:
        image id -> label id, for those that have a partner.
    """
    pairs: dict[str, str] = {}
    rules: list[tuple[Callable[[str], str | None], Callable[[str], str | None]]] = [
        (match_key, match_key),
        (_without_channel, match_key),
        (match_key, _without_channel),
        (_final_number, _btcv_number),
        (_btcv_number, _final_number),
    ]
    for image_rule, label_rule in rules:
        left = _alone((id for id in images if id not in pairs), image_rule)
        taken = set(pairs.values())
        right = _alone((id for id in labels if id not in taken), label_rule)
        pairs.update({left[key]: right[key] for key in left.keys() & right.keys()})
    return pairs


def pair_cases(predictions: Path, truth: Path) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Pair a folder of predicted label maps with a folder of true ones by case id.

    Returns:
        case id -> (prediction, truth) in order of id; the cases with no prediction; the predictions with no truth.

    Raises:
        InputError: If a folder is missing or holds no volume, or two of its files are the same case.
    """
    predicted, true = _by_id(Path(predictions)), _by_id(Path(truth))
    matched = match_ids(list(predicted), list(true))
    pairs = {}
    for id in sorted(matched):
        channel = _FIRST_CHANNEL.fullmatch(id)
        name = channel[1] if channel and match_key(id) != match_key(matched[id]) else id
        pairs[name] = (predicted[id], true[matched[id]])
    missing = sorted(set(true) - set(matched.values()))
    return pairs, missing, sorted(set(predicted) - set(matched))


def volumes_in(folder: Path) -> list[Path]:
    """The volume files of a folder, without hidden ones (``._img.nii.gz`` is what macOS leaves in archives)."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and is_volume_file(p))


def _by_id(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of label maps, got {'a file' if folder.exists() else 'nothing'}.")
    files: dict[str, Path] = {}
    for path in volumes_in(folder):
        id = case_id(path)
        if id in files:
            raise InputError(f"{folder}: must hold one file per case, got {files[id].name} and {path.name}.")
        files[id] = path
    if not files:
        raise InputError(f"{folder}: must hold label maps (.nii, .nii.gz, .nrrd or .mha), got none.")
    return files


def _alone(ids: Iterable[str], rule: Callable[[str], str | None]) -> dict[str, str]:
    keyed: Sequence[tuple[str, str]] = [(key, id) for id in ids if (key := rule(id)) is not None]
    count = Counter(key for key, _ in keyed)
    return {key: id for key, id in keyed if count[key] == 1}


def _without_channel(id: str) -> str | None:
    found = _FIRST_CHANNEL.fullmatch(id)
    return match_key(found[1]) if found else None


def _btcv_number(id: str) -> str | None:
    found = _BTCV.fullmatch(id)
    return str(int(found[1])) if found else None


def _final_number(id: str) -> str | None:
    found = re.search(r"(\d+)$", id)
    return str(int(found[1])) if found else None
