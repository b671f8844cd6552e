"""Names of labels, channels and modalities, as the files beside a data set spell them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.errors import InputError
from saccade.files import read_json

# "Multi-Atlas Labeling Beyond the Cranial Vault" (Synapse syn3193805), in its own numbering.
BTCV_LABELS = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "portal and splenic vein",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}
_MODALITIES = {
    "CT": ("CT",),
    "MR": ("MR", "MRI", "T1", "T1W", "T1C", "T1CE", "T1GD", "T2", "T2W", "FLAIR", "ADC", "DWI", "PD"),
    "PT": ("PT", "PET"),
}


def read_label_names(path: Path) -> dict[int, str]:
    """Label names from a JSON file of the form ``{"1": "liver"}`` or ``{"liver": 1}``.

    Raises:
        InputError: If the file cannot be read or has another form.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("labels"), dict):
        content = content["labels"]
    return parse_label_names(str(path), content)


def parse_label_names(who: str, content: Any, regions_order: list[int] | None = None) -> dict[int, str]:
    """Foreground classes, value -> name in value order, from either way round; 0 is the background and left out.

    Args:
        who: What an error names.
        content: value -> name, name -> value, or nnU-Net regions (name -> values).
        regions_order: nnU-Net's ``regions_class_order``: the value that each region, in order, is written as.

    Raises:
        InputError: If a value is no number, or a name or value occurs twice, or there is an ignore label.
    """
    if not isinstance(content, Mapping):
        raise InputError(f'{who}: labels must be a JSON object like {{"1": "liver"}}, got {type(content).__name__}.')
    if any(isinstance(value, list) for value in content.values()):
        content = _regions(who, content, regions_order)
    names: dict[int, str] = {}
    for key, value in content.items():
        number, name = (_integer(key), value) if isinstance(value, str) else (_integer(value), key)
        if number is None or number < 0 or not isinstance(name, str):
            raise InputError(f"{who}: a label must pair a whole number with a name, got {key!r}: {value!r}.")
        if number == 0:
            continue
        if name == "ignore":
            raise InputError(f"{who}: every label must be a class, got the ignore label {number}. Relabel it.")
        if number in names or name in names.values():
            raise InputError(f"{who}: each label value and name must occur once, got {name!r}: {number} again.")
        names[number] = name
    return dict(sorted(names.items()))


def modality_of(channel_names: tuple[str, ...]) -> str | None:
    """ "CT", "MR" or "PT" when every channel is of that kind, else None."""
    kinds = {_modality(name) for name in channel_names}
    return kinds.pop() if len(kinds) == 1 else None


def channels_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Channel names of a dataset.json: ``modality`` (Decathlon) or ``channel_names`` (nnU-Net), in channel order."""
    named = content.get("channel_names", content.get("modality"))
    if not isinstance(named, Mapping):
        return (named,) if isinstance(named, str) else ()
    return tuple(str(named[key]) for key in sorted(named, key=lambda key: _integer(key) or 0))


def _regions(who: str, content: Mapping[str, Any], order: list[int] | None) -> dict[str, int]:
    regions = [name for name, value in content.items() if value not in (0, [0])]
    if not order or len(order) != len(regions):
        raise InputError(f"{who}: labels given as regions must come with a regions_class_order of the same length.")
    return dict(zip(regions, order, strict=True))


def _modality(name: str) -> str | None:
    word = name.upper().replace("-", "").replace("_", "")
    return next((modality for modality, words in _MODALITIES.items() if word in words), None)


def _integer(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) and float(value).is_integer() else None
    except (TypeError, ValueError):
        return None
