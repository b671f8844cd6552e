"""Pictures of discs, squares and triangles with their boxes: the small experiment of fastai's lecture on detection.

One to three shapes of sides 10 to 70 lie in a picture of 96 x 96, apart from one another, brighter or darker than what
is behind them. Only the outline tells the class.
"""

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from saccade.data.detection.case import BoxDataset, Object, Scene
from saccade.data.detection.table import write_box_table
from saccade.errors import InputError
from saccade.files import atomic

SIDE = 96
CLASSES = ("disc", "square", "triangle")
SIDES = (10, 70)
MOST = 3
GAP = 2  # pixels between boxes at least
TRIES = 40
NOISE = 10.0
CONTRAST = (35, 90)


def make(out: Path | str, *, cases: int, seed: int, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Write pictures in ``images/`` and ``boxes.csv``.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1; a picture does not depend on how many there are.
        seed: 0 or more; another seed gives other pictures.
        progress: Called with (pictures done, cases) after each.

    Returns:
        Their ids: shapes_0000, shapes_0001, ...

    Raises:
        InputError: If there is to be no picture.
    """
    if cases < 1:
        raise InputError(f"{out}: cases must be 1 or more, got {cases}.")
    out, scenes = Path(out), []
    for case in range(cases):
        id = f"shapes_{case:04d}"
        pixels, objects = simulate_shapes(seed, case)
        with atomic(out / "images" / f"{id}.png") as temporary:
            Image.fromarray(pixels).save(temporary)
        scenes.append(Scene(id, out / "images" / f"{id}.png", objects))
        if progress:
            progress(case + 1, cases)
    write_box_table(BoxDataset(out, "table", tuple(scenes), CLASSES), out)
    return [scene.id for scene in scenes]


def simulate_shapes(seed: int, case: int) -> tuple[UInt8[np.ndarray, "96 96"], tuple[Object, ...]]:
    """One picture and its objects.

    Args:
        seed: Of the set.
        case: Its number.
    """
    rng = np.random.default_rng((seed, case))
    pixels = np.full((SIDE, SIDE), rng.uniform(90, 165))
    pixels += np.linspace(-1, 1, SIDE)[:, None] * rng.uniform(-15, 15)  # light from above or below
    objects: list[Object] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        box = _free_box(rng, [item.box for item in objects])
        if box is None:
            continue
        name = str(rng.choice(CLASSES))
        x1, y1, x2, y2 = box
        outline = _outline(name, x2 - x1, y2 - y1)
        change = rng.uniform(CONTRAST[0], CONTRAST[1]) * rng.choice([-1, 1])
        pixels[y1:y2, x1:x2] += change * outline
        objects.append(Object((float(x1), float(y1), float(x2), float(y2)), name))
    pixels += rng.normal(0, NOISE, pixels.shape)
    return pixels.clip(0, 255).round().astype(np.uint8), tuple(objects)


def _free_box(rng: np.random.Generator, taken: list[tuple[float, ...]]) -> tuple[int, int, int, int] | None:
    """A box that keeps its distance to the others; None where none was found."""
    for _ in range(TRIES):
        width, height = (int(side) for side in np.exp(rng.uniform(log(SIDES[0]), log(SIDES[1]), 2)))
        height = int(np.clip(height, width / 1.5, width * 1.5))
        if height < SIDES[0] or height > SIDE:
            continue
        x, y = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
        box = (x, y, x + width, y + height)
        if all(
            box[0] >= other[2] + GAP or box[2] + GAP <= other[0] or box[1] >= other[3] + GAP or box[3] + GAP <= other[1]
            for other in taken
        ):
            return box
    return None


def _outline(name: str, width: int, height: int) -> np.ndarray:
    """1 where a shape as large as its box is, 0 elsewhere, (height, width)."""
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    if name == "disc":
        inside = (2 * x - 1) ** 2 + (2 * y - 1) ** 2 <= 1
    elif name == "triangle":
        inside = np.abs(2 * x - 1) <= np.ceil(y * height) / height
    else:
        inside = np.ones_like(x, bool)
    return inside.astype(float)
