"""Videos whose class needs distant frames: does the shape of the first day come back on the second?

Day, night, day, night: in each a shape moves over the ground for two frames; between them the ground is empty for two
frames, and the light changes. Of the four shapes of a video three are alike and one is another. If that one comes by
night, both days have the same shape, and the class is 1; else it is 0.

What makes it hard, by the way in which the four are chosen (a is three times there, b once; by day, night, day, night):

    class 1    a b a a    a a a b
    class 0    b a a a    a a b a

- Every shape is as likely in every place in both classes: a single frame tells nothing, and what is added up over
  frames one by one tells nothing.
- Neighbouring shapes are alike in half of the videos of both classes, so that no seven frames in a row tell anything;
  the frames that do are eight apart.
- The shapes of a video are the same in both classes, and so is the ground: the mean of all frames tells nothing. What
  changes from frame to frame is shown by day as by night, as the light changes when no shape is there.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from saccade.errors import InputError
from saccade.files import atomic, write_text

FRAMES, SIDE = 14, 12
EVENTS = (0, 4, 8, 12)  # the first of the two frames of each shape
BY_DAY = (True, False, True, False)
# Which of the four places has the shape that is different, for class 0 and for class 1.
DIFFERENT = ((0, 2), (1, 3))
CONTRAST, NOISE = 70.0, 5.0  # of a shape over the ground, and of the noise (standard deviation), in grey levels
DAY, NIGHT = 150.0, 60.0  # brightness of the ground
FASTEST = 2  # pixels that a shape moves from one frame to the next along each axis, at most
# Nine pixels each: brightness does not tell them apart.
SHAPES: dict[str, tuple[str, ...]] = {
    "plus": ("..#..", "..#..", "#####", "..#..", "..#.."),
    "cross": ("#...#", ".#.#.", "..#..", ".#.#.", "#...#"),
    "block": (".....", ".###.", ".###.", ".###.", "....."),
    "angle": ("#....", "#....", "#....", "#....", "#####"),
}
COLUMNS = ("case", "place", "light", "shape", "frame", "row", "column", "next_row", "next_column")


@dataclass(frozen=True)
class Event:
    """One shape.

    Attributes:
        shape: Its name.
        places: Row and column of its upper left corner in the first and in the second frame.
    """

    shape: str
    places: tuple[tuple[int, int], tuple[int, int]]


def mask(name: str) -> Float[np.ndarray, "5 5"]:
    """A shape, 1 where it is and 0 elsewhere.

    >>> [int(mask(name).sum()) for name in SHAPES]
    [9, 9, 9, 9]
    """
    return np.array([[pixel == "#" for pixel in row] for row in SHAPES[name]], float)


def make(
    out: Path | str,
    *,
    cases: int,
    seed: int,
    progress: Callable[[int, int], Any] | None = None,
) -> list[str]:
    """Write ``videos.npz`` with ``images`` (cases, 14, 12, 12) and ``labels``: as many of class 1 as of class 0.

    ``truth/events.csv`` has a row for each shape: its light, and the row and column of its upper left corner in its two
    frames. A case does not depend on how many there are.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many.
        seed: 0 or more.
        progress: Called with (cases done, cases) as it goes.

    Returns:
        The ids of the cases, as the layout gives them.

    Raises:
        InputError: If a number is too small.
    """
    if cases < 1 or seed < 0:
        raise InputError(f"moving-shapes: must be 1 case or more and a seed of 0 or more, got {cases} and {seed}.")
    videos = np.zeros((cases, FRAMES, SIDE, SIDE), np.uint8)
    ids = [f"image_{case:05d}" for case in range(cases)]
    rows: list[Sequence[object]] = [COLUMNS]
    for case in range(cases):
        videos[case], events = simulate(np.random.default_rng([seed, case]), returns=case % 2 == 1)
        for place, event in enumerate(events):
            light = "day" if BY_DAY[place] else "night"
            corners = [number for corner in event.places for number in corner]
            rows.append((ids[case], place, light, event.shape, EVENTS[place], *corners))
        if progress:
            progress(case + 1, cases)
    labels = (np.arange(cases) % 2).astype(np.uint8)
    with atomic(Path(out) / "videos.npz") as path:
        np.savez_compressed(path, images=videos, labels=labels[:, None])
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_text(Path(out) / "truth" / "events.csv", table.getvalue())
    return ids


def simulate(
    generator: np.random.Generator, *, returns: bool
) -> tuple[UInt8[np.ndarray, "frames rows columns"], list[Event]]:
    """One video and its four shapes.

    Args:
        generator: Draws everything.
        returns: Whether the shape of the first day comes back on the second.
    """
    usual, other = generator.choice(list(SHAPES), 2, replace=False).tolist()
    odd = DIFFERENT[returns][generator.integers(2)]
    events = [Event(other if place == odd else usual, _path(generator)) for place in range(len(EVENTS))]
    video = _ground()[:, None, None] + generator.normal(0, NOISE, (FRAMES, SIDE, SIDE))
    for first, event in zip(EVENTS, events, strict=True):
        drawn = CONTRAST * mask(event.shape)
        for frame, (row, column) in enumerate(event.places, start=first):
            video[frame, row : row + drawn.shape[0], column : column + drawn.shape[1]] += drawn
    return np.clip(np.rint(video), 0, 255).astype(np.uint8), events


def _path(generator: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a shape is in its two frames, anywhere inside."""
    room = SIDE - len(next(iter(SHAPES.values())))
    first = generator.integers(room + 1, size=2)
    step = generator.integers(-FASTEST, FASTEST + 1, size=2)
    second = np.clip(first + step, 0, room)
    return (int(first[0]), int(first[1])), (int(second[0]), int(second[1]))


def _ground() -> Float[np.ndarray, "frames"]:
    """Brightness of the empty frames; the light changes in the middle between two shapes."""
    changes = [first - 1 for first in EVENTS[1:]]
    return np.array([DAY if BY_DAY[sum(frame >= c for c in changes)] else NIGHT for frame in range(FRAMES)])
