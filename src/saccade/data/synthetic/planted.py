"""Pictures and volumes with planted evidence: what decides about the class lies at a place that is known.

Each image holds one of three objects (cross, frame, plus), which is its class, and a decoy: dust in a box of the same
size, brighter than the object and the same in all classes. Objects and dust fill equally many pixels, so that
brightness tells nothing. A map that marks what is bright finds the decoy; a map that is true to a network which has
learnt the classes finds the object.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from saccade.data.synthetic.image_table import write_image_table
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.files import atomic

SIDE = 7  # pixels of an object along each axis
FILLED = {2: 16, 3: 44}  # pixels of an object
SIZE = {2: 32, 3: 20}  # pixels of an image along each axis
NOISE = 0.2  # standard deviation, beside objects of brightness 1
DECOY = 1.3  # brightness of the dust
BLACK, WHITE = -1.2, 2.8  # what is 0 and 255 in a picture
OBJECT, DUST = 1, 2  # values in the truth
TRIES = 1000


def _frame(sizes: np.ndarray) -> np.ndarray:
    """The edges of a box two pixels from the middle."""
    return np.abs(sizes[..., -1] - 2) - 0.1 * sizes[..., -2]


def _plus(sizes: np.ndarray) -> np.ndarray:
    """Arms along the axes, the middle first."""
    return sizes[..., -2] + 0.1 * sizes[..., -1]


def _cross(sizes: np.ndarray) -> np.ndarray:
    """Arms along the diagonals, the middle first."""
    return sizes[..., -1] - sizes[..., 0] + 0.1 * sizes[..., -1]


# From the sorted distances to the middle along the axes: an object's pixels are those with the lowest values.
OBJECTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"cross": _cross, "frame": _frame, "plus": _plus}


@dataclass(frozen=True, eq=False)
class Planted:
    """One image.

    Attributes:
        image: Noise around 0 with objects of brightness 1 and dust of 1.3.
        objects: The box of each object, as a mask, in the order in which they were asked for.
        decoy: The box of the dust; nowhere if there is none.
    """

    image: Float[np.ndarray, "*space"]
    objects: Bool[np.ndarray, "n *space"]
    decoy: Bool[np.ndarray, "*space"]

    @property
    def truth(self) -> UInt8[np.ndarray, "*space"]:
        """1 in the boxes of objects, 2 in that of the dust."""
        return np.where(self.objects.any(0), OBJECT, DUST * self.decoy).astype(np.uint8)


def make(
    out: Path | str,
    *,
    cases: int,
    seed: int,
    dims: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write images with an object and a decoy each, as many of each class, with a table of their classes.

    ``table.csv`` names each image in ``images/`` and its class; ``truth/`` has, under the same names, 1 where the
    object is and 2 where the decoy is.

    Args:
        out: The folder.
        cases: How many, at least 1.
        seed: 0 or more.
        dims: 2 for pictures (PNG, 32 x 32) or 3 for volumes (NIfTI, 20 x 20 x 20).
        progress: Called with (cases done, cases) after each.

    Returns:
        The ids of the cases.

    Raises:
        InputError: If a number cannot be used.
    """
    root, names = Path(out), list(OBJECTS)

    def write_case(number: int, id: str) -> tuple[str, str]:
        label = names[number % len(names)]
        made = plant(np.random.default_rng([seed, number]), [label], dims=dims)
        if dims == 2:
            grey = np.clip((made.image - BLACK) / (WHITE - BLACK) * 255, 0, 255).astype(np.uint8)
            _write_picture(grey, root / "images" / f"{id}.png")
            _write_picture(made.truth, root / "truth" / f"{id}.png")
            return f"{id}.png", label
        for folder, array in (("images", made.image.astype(np.float32)), ("truth", made.truth)):
            write_volume(Volume(array, np.eye(4)), root / folder / f"{id}.nii.gz")
        return f"{id}.nii.gz", label

    return write_image_table(root, "planted", cases, write_case, progress)


def plant(generator: np.random.Generator, objects: Sequence[str], *, dims: int = 2, decoy: bool = True) -> Planted:
    """Objects at random places that do not touch one another.

    Args:
        generator: Draws places, noise and dust.
        objects: Names of `OBJECTS`; one may stand there twice.
        dims: 2 or 3.
        decoy: Whether there is dust.

    Raises:
        InputError: If a name is none, ``dims`` is neither, or they find no place.

    >>> made = plant(np.random.default_rng(0), ["plus", "cross"])
    >>> made.image.shape, made.objects.sum((1, 2)).tolist()
    ((32, 32), [49, 49])
    """
    if dims not in SIZE:
        raise InputError(f"planted: dims must be 2 or 3, got {dims}.")
    if unknown := [name for name in objects if name not in OBJECTS]:
        raise InputError(f"planted: objects must be {', '.join(OBJECTS)}, got '{unknown[0]}'.")
    space = (SIZE[dims],) * dims
    corners = _places(generator, len(objects) + decoy, dims)
    image = generator.normal(0, NOISE, space)
    boxes = np.zeros((len(corners), *space), bool)
    for box, corner in zip(boxes, corners, strict=True):
        box[tuple(slice(start, start + SIDE) for start in corner)] = True
    for name, box in zip(objects, boxes, strict=False):
        image[box] += shape(name, dims).ravel()
    if decoy:
        image[boxes[-1]] += DECOY * generator.permutation(shape("plus", dims).ravel())
    return Planted(image, boxes[: len(objects)], boxes[-1] if decoy else np.zeros(space, bool))


def shape(name: str, dims: int) -> Bool[np.ndarray, "*side"]:
    """An object in its box.

    >>> shape("frame", 2).astype(int)[1:4].tolist()
    [[0, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1, 0]]
    """
    places = np.moveaxis(np.indices((SIDE,) * dims), 0, -1) - SIDE // 2
    order = OBJECTS[name](np.sort(np.abs(places), axis=-1)).ravel().argsort(kind="stable")
    filled = np.zeros(SIDE**dims, bool)
    filled[order[: FILLED[dims]]] = True
    return filled.reshape((SIDE,) * dims)


def _places(generator: np.random.Generator, count: int, dims: int) -> list[np.ndarray]:
    """First corners of boxes with a pixel between them."""
    for _ in range(TRIES):
        corners = generator.integers(0, SIZE[dims] - SIDE + 1, (count, dims))
        apart = np.abs(corners[:, None] - corners[None]).max(-1) > SIDE
        if (apart | np.eye(count, dtype=bool)).all():
            return list(corners)
    raise InputError(f"planted: {count} objects find no place in {SIZE[dims]} pixels along {dims} axes.")


def _write_picture(array: UInt8[np.ndarray, "rows columns"], path: Path) -> None:
    with atomic(path) as temporary:
        Image.fromarray(array).save(temporary, "PNG")
