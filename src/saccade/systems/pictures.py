"""What systems share that show how they decided: a prepared image as a picture, and where its places lie in it.

An image is shown as it is; of a volume one axial slice, the right on the left and the front at the top.
Positions are counted in pixels from the outer edge of the first one.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

Window = tuple[float, float]


def window_of(image: Float[Tensor, "c *space"]) -> Window:
    """The values that are shown black and white: percentiles 1 and 99."""
    low, high = np.percentile(image.float().cpu().numpy(), (1, 99))
    return float(low), float(max(high, low + 1e-6))


def grey_of(
    image: Float[Tensor, "c *space"], *, at: int | None = None, window: Window | None = None
) -> Float[np.ndarray, "rows columns"]:
    """An image, or slice ``at`` of a volume (default: the middle one), in grey levels from 0 to 1."""
    low, high = window or window_of(image)
    values = axial(image.float().mean(0).cpu().numpy(), at)
    return np.clip((values - low) / (high - low), 0, 1)


def picture_of(
    image: Float[Tensor, "c *space"], *, at: int | None = None, window: Window | None = None
) -> UInt8[np.ndarray, "rows columns *colours"]:
    """As `grey_of`, as a picture of bytes; an image of three channels in colours."""
    window = window or window_of(image)
    if len(image) == 3 and image.ndim == 3:
        return to_bytes(np.stack([grey_of(channel[None], window=window) for channel in image], -1))
    return to_bytes(grey_of(image, at=at, window=window))


def axial(values: np.ndarray, at: int | None = None) -> np.ndarray:
    """A picture (rows, columns) of values on an image or on a volume's slice ``at``."""
    if values.ndim == 2:
        return values
    return np.flip(values[..., values.shape[-1] // 2 if at is None else at]).T


def to_bytes(levels: np.ndarray) -> UInt8[np.ndarray, "*any"]:
    """Levels from 0 to 1 as bytes."""
    return (np.clip(levels, 0, 1) * 255).round().astype(np.uint8)


def in_picture(points: Float[np.ndarray, "*n d"], shape: Sequence[int]) -> Float[np.ndarray, "*n 2"]:
    """Where places of an image or a volume of this shape lie in its picture, x first; of a volume projected."""
    if len(shape) == 2:
        return points[..., ::-1]
    return np.array(shape[:2]) - points[..., :2]


def polyline(points: Float[np.ndarray, "n 2"], colour: str, width: float) -> str:
    """An SVG line through points of a picture."""
    places = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:.2f}"/>'
