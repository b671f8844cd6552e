"""A video's frames as one picture, and arrows between places in it."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from jaxtyping import Float, Integer, UInt8

RIM = 1  # pixels between frames
START, ARROW = "#ffb000", "#4dd0ff"


class Sheet:
    """Frames beside and below one another, in reading order, nearly a square.

    Args:
        frames: How many the video has, counted in those that are shown: 2.5 if every second of 5 is.
        rows: Of one frame.
        columns: Of one frame.
    """

    def __init__(self, frames: float, rows: int, columns: int) -> None:
        self.frames, self.rows, self.columns = frames, rows, columns
        count = ceil(frames)
        self.across = min(count, max(1, round(sqrt(count * rows / columns))))
        down = ceil(count / self.across)
        self.size = (down * (rows + RIM) - RIM, self.across * (columns + RIM) - RIM)

    def paste(self, shown: Sequence[UInt8[np.ndarray, "rows columns *colours"]]) -> UInt8[np.ndarray, "r c *colours"]:
        """The picture; white between the frames."""
        picture = np.full((*self.size, *shown[0].shape[2:]), 255, np.uint8)
        for number, frame in enumerate(shown):
            left, top = (int(edge) for edge in self._corner(np.array(number)))
            picture[top : top + self.rows, left : left + self.columns] = frame
        return picture

    def place(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """x and y in the picture of places in the video, whose axes go from 0 to 1."""
        number = np.array(points[..., 0] * self.frames, int)
        return self._corner(number) + points[..., :0:-1] * [self.columns, self.rows]

    def _corner(self, number: Integer[np.ndarray, "*n"]) -> Integer[np.ndarray, "*n 2"]:
        return np.stack([number % self.across * (self.columns + RIM), number // self.across * (self.rows + RIM)], -1)


def arrows(
    start: Float[np.ndarray, "2"], ends: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, "n"], size: float
) -> str:
    """SVG arrows from one point to others; those of negative weight are dashed, what is no farther than a head a ring.

    Args:
        start: x and y.
        ends: Of the others.
        weights: Of the others; the heavier, the denser.
        size: Of an arrow's head, in pixels; lines are a third as wide.
    """
    heaviest = max(float(np.abs(weights).max(initial=0.0)), 1e-12)
    parts = []
    for end, weight in zip(ends, weights, strict=True):
        look = f'opacity="{0.35 + 0.6 * abs(float(weight)) / heaviest:.2f}"'
        line = f'stroke="{ARROW}" stroke-width="{size / 3:.2f}" {look}'
        length = float(np.linalg.norm(end - start))
        if length < size:
            parts.append(_circle(start, 1.6 * size, f'fill="none" {line}'))
            continue
        along = (end - start) / length
        neck, side = end - size * along, 0.5 * size * np.array([-along[1], along[0]])
        dashes = f' stroke-dasharray="{size:.2f}"' if weight < 0 else ""
        (x1, y1), (x2, y2) = start, neck
        parts.append(f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" {line}{dashes}/>')
        head = " ".join(f"{x:.2f},{y:.2f}" for x, y in (end, neck + side, neck - side))
        parts.append(f'<polygon points="{head}" fill="{ARROW}" {look}/>')
    return "".join([*parts, _circle(start, 0.8 * size, f'fill="{START}"')])


def _circle(centre: Float[np.ndarray, "2"], radius: float, look: str) -> str:
    return f'<circle cx="{centre[0]:.2f}" cy="{centre[1]:.2f}" r="{radius:.2f}" {look}/>'
