"""What a system shows of how its network decided on one image, for the image's card in the report."""

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

ELEMENTS = (
    "g", "rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text", "animate", "animateTransform",
    "animateMotion",
)  # fmt: skip
ATTRIBUTES = (
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height", "points", "d",
    "transform", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray",
    "stroke-linecap", "stroke-linejoin", "opacity", "vector-effect", "paint-order", "font-size", "font-weight",
    "text-anchor", "dominant-baseline", "attributeName", "type", "values", "keyTimes", "keySplines", "calcMode", "from",
    "to", "by", "dur", "begin", "end", "repeatCount", "additive", "path",
)  # fmt: skip


@dataclass(frozen=True)
class Illustration:
    """One picture with a drawing over it.

    Attributes:
        title: What it shows, a few words.
        picture: uint8, (rows, columns) or (rows, columns, 3).
        overlay: SVG elements in the picture's coordinates: x from 0 to columns, y from 0 to rows, a pixel is 1 x 1.
            Written from numbers only; it may move by SVG's ``animate`` elements. A line that shall be as thin on a
            small picture as on a large one has ``vector-effect="non-scaling-stroke"``, its width then in screen pixels.

    Raises:
        ValueError: If the picture is of another type or shape, or the overlay is not well formed or has something else
            than shapes, text and their animation, such as a script, a style or a link.
    """

    title: str
    picture: np.ndarray
    overlay: str = ""

    def __post_init__(self) -> None:
        shape = self.picture.shape
        if self.picture.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
            raise ValueError(
                "Illustration: picture must be uint8 of shape (rows, columns) or (rows, columns, 3), "
                f"got {self.picture.dtype} of shape {shape}."
            )
        _check_overlay(self.overlay)


def _check_overlay(overlay: str) -> None:
    """Refuse what a page must not take over as it is."""
    try:
        elements = list(ElementTree.fromstring(f"<svg>{overlay}</svg>").iter())[1:]
    except ElementTree.ParseError as error:
        raise ValueError(f"Illustration: overlay must be well-formed SVG elements ({error}).") from None
    for element in elements:
        if element.tag not in ELEMENTS:
            raise ValueError(f"Illustration: overlay must be of {', '.join(ELEMENTS)}, got {element.tag}.")
        for name, value in element.attrib.items():
            if name not in ATTRIBUTES or "url(" in value.lower():
                raise ValueError(f"Illustration: overlay must not have {name}='{value[:40]}' in {element.tag}.")
