"""Simulated chest radiographs with ribs to be found and counted: a landmark in the middle of each posterior rib.

What the beam loses is added up: tissue, spine, heart, abdomen below the diaphragm, ribs from behind and, fainter, in
front, collar bones, and in some opaque patches, devices and wires; lungs take away. Ribs differ in contrast, some are
next to invisible. Part of each edge may be collimated: ribs there are not in the picture and have no landmark.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

from saccade.data.synthetic.chest_anatomy import HALF_WIDTH, NAMED, ROOT, Chest, Rib, draw_chest
from saccade.errors import InputError, unknown_name
from saccade.files import atomic, write_text

SIZES = {"small": 128, "full": 256}  # pixels of a side
FINER = 3  # lines are drawn on a grid so much finer
POSTERIOR, ANTERIOR, COLLAR_BONE, SPINE = 0.24, 0.11, 0.2, 0.35  # what bone adds
TISSUE, LUNG, HEART, ABDOMEN = 0.9, 0.55, 0.4, 0.5
FAINT_SHARE, FAINT = 0.08, 0.15  # of the ribs: how many have how much of the usual contrast


def make(
    out: Path | str, *, cases: int, seed: int, size: str = "small", progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Write radiographs, ``points.csv`` with their landmarks and ``lines.csv`` with the centre lines of these ribs.

    Landmarks are called ``right_1`` ... ``right_9``, ``left_1`` ... ``left_9`` from the top; those of ribs that are not
    there, or not in the picture, are missing. A landmark is right on the rib's centre line, half-way along the
    posterior part.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1; a radiograph does not depend on how many there are.
        seed: 0 or more; another seed gives other patients.
        size: ``small`` (128 x 128 pixels) or ``full`` (256 x 256).
        progress: Called with (radiographs done, cases) after each.

    Returns:
        The ids of the radiographs: chest_0000, chest_0001, ...

    Raises:
        InputError: If a number is too small or the size unknown.
    """
    if cases < 1:
        raise InputError(f"{out}: cases must be 1 or more, got {cases}.")
    ids = [f"chest_{number:04d}" for number in range(cases)]
    points: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    for number, id in enumerate(ids):
        image, ribs = simulate_radiograph(seed, number, size)
        file = f"{id}.png"
        with atomic(Path(out) / "images" / file) as temporary:
            Image.fromarray(image).save(temporary)
        pixels = len(image)
        there = {rib.name: rib for rib in ribs}
        for name in names():
            rib = there.get(name)
            points.append((file, name, *(("", "") if rib is None else _written(to_pixels(rib.key, pixels)))))
            if rib is not None:
                half = round(HALF_WIDTH * pixels, 3)
                lines += [(file, name, *_written(vertex), half) for vertex in to_pixels(rib.posterior, pixels)]
        if progress:
            progress(number + 1, cases)
    _write(Path(out) / "points.csv", ("image", "name", "x", "y"), points)
    _write(Path(out) / "lines.csv", ("image", "name", "x", "y", "half_width"), lines)
    return ids


def names() -> Iterator[str]:
    """Of the landmarks, in the order of the table."""
    return (f"{side}_{number}" for side in ("right", "left") for number in range(1, NAMED + 1))


def simulate_radiograph(seed: int, case: int, size: str = "small") -> tuple[np.ndarray, list[Rib]]:
    """One radiograph; see `make` for the choices.

    Returns:
        Grey levels (uint8) and the ribs with a landmark, in parts of the picture's height; `to_pixels` makes pixels.

    Raises:
        InputError: If seed or case is negative, or the size unknown.

    Example:
        >>> image, ribs = simulate_radiograph(seed=0, case=1)
        >>> image.shape, ribs[0].name
        ((128, 128), 'right_1')
    """
    if seed < 0 or case < 0:
        raise InputError(f"simulate_radiograph: seed and case must be 0 or more, got {seed} and {case}.")
    if size not in SIZES:
        raise unknown_name("simulate_radiograph", "size", size, list(SIZES))
    rng = np.random.default_rng((seed, case))
    pixels, chest = SIZES[size], draw_chest(rng)
    open_field = _draw_collimation(rng)
    loss = _organs(rng, chest, pixels)
    for rib in chest.ribs:
        loss += _bone(rng, rib, pixels)
    loss += _collar_bones(rng, pixels) + _obstacles(rng, pixels)
    low, high = rng.uniform(0.15, 0.3), rng.uniform(1.6, 1.9)
    grey = np.clip((gaussian_filter(loss, pixels / 400) - low) / (high - low), 0, 1) ** rng.uniform(0.8, 1.25)
    grey += rng.uniform(0.015, 0.045) * rng.normal(size=grey.shape)
    x, y = _grid(pixels)
    left, right, top, bottom = open_field
    grey[(x < left) | (x > right) | (y < top) | (y > bottom)] = 0.0
    shown = [
        rib for rib in chest.ribs if rib.number <= NAMED and left <= rib.key[0] <= right and top <= rib.key[1] <= bottom
    ]
    return np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8), shown


def to_pixels(points: np.ndarray, pixels: int) -> np.ndarray:
    """From parts of the height, x from the middle, to pixels, the first of which reaches from 0 to 1."""
    found: np.ndarray = (np.asarray(points) + np.array([0.5, 0.0])) * pixels
    return found


def _draw_collimation(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, right, upper and lower edge of what was exposed."""
    cut = np.where(rng.random(4) < 0.5, rng.uniform(0, [0.1, 0.1, 0.2, 0.25]), 0.0)
    return -0.5 + cut[0], 0.5 - cut[1], cut[2], 1 - cut[3]


def _organs(rng: np.random.Generator, chest: Chest, pixels: int) -> np.ndarray:
    """Tissue, lungs, spine, heart and what lies below the diaphragm."""
    x, y = _grid(pixels)
    half = np.interp(y, chest.widths[:, 0], chest.widths[:, 1])
    loss = TISSUE * _soft(half + rng.uniform(0.05, 0.09) - np.abs(x), 0.02)
    for side, dome in zip((-1, 1), chest.domes, strict=True):
        middle = side * 0.5 * half
        floor = dome + 0.9 * (x - middle) ** 2 / np.maximum(half, 0.05)
        own = _soft(side * x - 0.045, 0.01) * _soft(half - 0.005 - np.abs(x), 0.01)
        apex = chest.widths[0, 0] - 0.02 + 2.5 * (np.abs(x) - 0.11) ** 2
        loss -= LUNG * own * _soft(y - apex, 0.02) * _soft(floor - y, 0.008)
        loss += ABDOMEN * _soft(y - floor, 0.01) * _soft(side * x, 0.02)
    spine = _soft(ROOT - np.abs(x), 0.008) * (1 + 0.25 * np.sin(2 * np.pi * y / rng.uniform(0.05, 0.06)))
    centre_x, centre_y, wide, high = chest.heart
    heart = _soft(1 - np.hypot((x - centre_x) / wide, (y - centre_y) / high), 0.08)
    vessels = zoom(gaussian_filter(rng.normal(size=(32, 32)), 1.2), pixels / 32, order=1)
    found: np.ndarray = loss + SPINE * spine + HEART * heart + 0.12 * vessels
    return found


def _bone(rng: np.random.Generator, rib: Rib, pixels: int) -> np.ndarray:
    contrast = FAINT if rng.random() < FAINT_SHARE else rng.uniform(0.55, 1.1)
    width = rng.uniform(0.022, 0.03)
    # dense walls around marrow
    behind = _stroke(rib.posterior, width, pixels) - 0.4 * _stroke(rib.posterior, 0.55 * width, pixels)
    front = _stroke(rib.anterior, 1.1 * width, pixels)
    found: np.ndarray = contrast * (POSTERIOR * behind + ANTERIOR * rng.uniform(0.6, 1.2) * front)
    return found


def _collar_bones(rng: np.random.Generator, pixels: int) -> np.ndarray:
    height, slope = rng.uniform(0.07, 0.15), rng.uniform(-0.04, 0.06)
    loss = np.zeros((pixels, pixels))
    for side in (-1, 1):
        ends = np.array([[side * 0.03, height + rng.normal(0, 0.008)], [side * 0.34, height - slope]])
        loss += COLLAR_BONE * _stroke(ends, 0.028, pixels)
    return loss


def _obstacles(rng: np.random.Generator, pixels: int) -> np.ndarray:
    """Opaque patches, a device, a wire: none, some or all."""
    x, y = _grid(pixels)
    loss = np.zeros_like(x)
    for _ in range(rng.integers(0, 3)):
        across, down = rng.uniform(-0.35, 0.35), rng.uniform(0.15, 0.75)
        wide, high = rng.uniform(0.04, 0.13, 2)
        inside = _soft(1 - np.hypot((x - across) / wide, (y - down) / high), 0.2)
        loss += rng.uniform(0.25, 0.75) * inside
    if rng.random() < 0.25:
        across, down = rng.uniform(0.12, 0.3) * rng.choice([-1, 1]), rng.uniform(0.15, 0.35)
        loss += 1.2 * ((np.abs(x - across) < 0.05) & (np.abs(y - down) < 0.04))
    if rng.random() < 0.4:
        way = np.cumsum(rng.normal([0.0, 0.06], [0.05, 0.02], (12, 2)), 0)
        way[:, 0] += rng.uniform(-0.3, 0.3)
        loss += 0.5 * _stroke(way, 0.008, pixels)
    return loss


def _stroke(line: np.ndarray, width: float, pixels: int) -> np.ndarray:
    """Coverage of a line of this width, 0 to 1."""
    fine = pixels * FINER
    picture = Image.new("L", (fine, fine))
    ends = [tuple(point) for point in to_pixels(line, fine)]
    ImageDraw.Draw(picture).line(ends, fill=255, width=max(1, round(width * fine)), joint="curve")
    covered: np.ndarray = np.asarray(picture.reduce(FINER), float) / 255
    return covered


def _soft(distance: np.ndarray, blur: float) -> np.ndarray:
    """1 where a signed distance is above 0, 0 below, with a soft edge."""
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(4 * distance / blur, -50, 50)))
    return found


def _grid(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' middles, in parts of the height."""
    steps = (np.arange(pixels) + 0.5) / pixels
    y, x = np.meshgrid(steps, steps - 0.5, indexing="ij")
    return x, y


def _written(point: np.ndarray) -> tuple[str, str]:
    return f"{point[0]:.3f}", f"{point[1]:.3f}"


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
