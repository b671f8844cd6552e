"""Names and colours of labels, in the files that viewers load beside a label map."""

import colorsys
from collections.abc import Mapping
from pathlib import Path

from saccade.errors import InputError
from saccade.files import write_json, write_text

_GOLDEN = 0.618033988749895
# Bright enough on a grey scan and on white paper, and told apart where hues come close.
_TONES = ((0.85, 0.95), (0.55, 1.0), (0.95, 0.7), (0.4, 0.8))

_ITKSNAP_HEAD = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""


def label_colour(value: int) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a label: the same on every day, different for labels 0 to 255; 0 is black.

    Raises:
        InputError: If the value is negative.
    """
    if value < 0:
        raise InputError(f"label_colour: label values must be 0 or more, got {value}.")
    if value == 0:
        return 0, 0, 0
    # Steps of the golden ratio keep the hues of any run of labels as far apart as they can be.
    saturation, brightness = _TONES[value % len(_TONES)]
    red, green, blue = colorsys.hsv_to_rgb(value * _GOLDEN % 1, saturation, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


def write_label_descriptions(names: Mapping[int, str], path_stem: Path) -> list[Path]:
    """Write ``<stem>.label`` (ITK-SNAP), ``<stem>.ctbl`` (3D Slicer) and ``<stem>.json``, in label order.

    The JSON holds the names exactly. ITK-SNAP ends a name at a double quote, so there it becomes a single one; Slicer
    splits at spaces and shows underscores as spaces, so there spaces become underscores. Label 0 is the background:
    invisible, and written whether named or not. A name of nothing but white space becomes ``label N``.

    Args:
        names: Label value -> name.
        path_stem: Path of the files without their suffix; dots in it stay.

    Returns:
        The three paths.

    Raises:
        InputError: If a label value is negative.
    """
    named = {0: "background", **names}
    rows = []
    for value in sorted(named):
        name = " ".join(str(named[value]).split()) or f"label {value}"
        rows.append((value, name, label_colour(value)))
    paths = [path_stem.with_name(path_stem.name + suffix) for suffix in (".label", ".ctbl", ".json")]
    write_text(paths[0], _ITKSNAP_HEAD + "".join(_itksnap_line(*row) for row in rows))
    write_text(paths[1], "# Color table file\n" + "".join(_slicer_line(*row) for row in rows))
    labels = {str(value): named[value] for value, _, _ in rows}
    write_json(paths[2], {"labels": labels, "colours": {str(value): list(colour) for value, _, colour in rows}})
    return paths


def _itksnap_line(value: int, name: str, colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    shown = int(value > 0)
    quoted = name.replace('"', "'")
    return f'{value:5d} {red:4d} {green:4d} {blue:4d} {shown:8d} {shown:2d} {shown:2d}    "{quoted}"\n'


def _slicer_line(value: int, name: str, colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return f"{value} {name.replace(' ', '_')} {red} {green} {blue} {255 if value else 0}\n"
