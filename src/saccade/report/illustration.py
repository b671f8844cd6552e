"""What a system shows of how its network decided on one image, for the image's card in the report."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Illustration:
    """One picture with a drawing over it.

    Attributes:
        title: What it shows, a few words.
        picture: uint8, (rows, columns) or (rows, columns, 3).
        overlay: SVG elements in the picture's coordinates: x from 0 to columns, y from 0 to rows, a pixel is 1 x 1.
            Written from numbers only; it may move by SVG's ``animate`` elements, and has no script and no style.
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
