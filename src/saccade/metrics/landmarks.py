"""Whether a predicted landmark is where it ought to be: by its distance, or by the line that it lies on."""

import numpy as np
from jaxtyping import Float

ALONG = 2.0  # half widths that a landmark may be off along its line: 15 to 20 mm for a rib 15 to 20 mm wide


def radial_error(point: Float[np.ndarray, "d"], truth: Float[np.ndarray, "d"]) -> float:
    """Distance, in the units of the points.

    >>> radial_error(np.array([3.0, 0]), np.array([0, 4.0]))
    5.0
    """
    return float(np.linalg.norm(point - truth))


def line_offsets(
    point: Float[np.ndarray, "d"], truth: Float[np.ndarray, "d"], vertices: Float[np.ndarray, "n d"]
) -> tuple[float, float]:
    """How far a point is from a polyline, and how far along it from where the truth is.

    Args:
        point: Predicted.
        truth: The landmark; what counts is the nearest point of the line.
        vertices: Of the line, two at least.

    >>> line_offsets(np.array([7.0, 2]), np.array([3.0, 0]), np.array([[0.0, 0], [10, 0]]))
    (2.0, 4.0)
    """
    across, at = _project(point, vertices)
    return across, abs(at - _project(truth, vertices)[1])


def on_line(
    point: Float[np.ndarray, "d"],
    truth: Float[np.ndarray, "d"],
    vertices: Float[np.ndarray, "n d"],
    half_width: float,
) -> bool:
    """Whether a point lies in the area around a centre line near its landmark.

    The criterion of Mader et al. 2018 (Fig. 3a) has such an area; its extents could not be had. Here a point may be as
    far from the line as half the structure's width, and twice as far from the landmark along it.

    Args:
        point: Predicted.
        truth: The landmark.
        vertices: Of the centre line.
        half_width: From the line to the structure's edge.
    """
    across, along = line_offsets(point, truth, vertices)
    return across <= half_width and along <= ALONG * half_width


def _project(point: np.ndarray, vertices: np.ndarray) -> tuple[float, float]:
    """Distance to the nearest point of a polyline, and the length of the line up to it."""
    starts, steps = vertices[:-1], np.diff(vertices, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    parts = np.einsum("nd,nd->n", point - starts, steps) / np.maximum(lengths, 1e-12) ** 2
    parts = np.clip(parts, 0, 1)
    away = np.linalg.norm(starts + parts[:, None] * steps - point, axis=1)
    best = int(away.argmin())
    return float(away[best]), float(lengths[:best].sum() + parts[best] * lengths[best])
