"""Implicit shapes: functions of a point in mm, negative inside, close to a distance near the surface.

Points come as float32 arrays of shape (3, i, j, k), x to the patient's right, y to the front, z to the head.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A tube along a polyline with a radius at each point, in a stretched and turned metric; one point is an ellipsoid.

    Attributes:
        points: (n, 3) in mm.
        radii: (n,) in mm.
        stretch: How many times the radius the half-axes are, (3,).
        turn: (3, 3) rotation whose rows are the part's own axes.
    """

    points: np.ndarray
    radii: np.ndarray
    stretch: np.ndarray
    turn: np.ndarray

    def bounds(self, margin_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of a box that holds the part and a margin around it."""
        reach = np.abs(self.turn.T) @ self.stretch  # half-extent along x, y, z of the stretched ball of radius 1
        reach = self.radii[:, None] * reach + margin_mm
        return (self.points - reach).min(0), (self.points + reach).max(0)


def tube(p: np.ndarray, part: Part) -> np.ndarray:
    """Distance in the part's own metric (mm where it is not stretched) to the surface of the tube."""
    own = part.turn / part.stretch[:, None]
    q = np.tensordot(own.astype(np.float32), p, axes=1)
    points = (part.points @ own.T).astype(np.float32)
    radii = part.radii.astype(np.float32)
    if len(points) == 1:
        return _norm(q, points[0]) - radii[0]
    nearest = np.full(p.shape[1:], np.inf, np.float32)
    for start, end, r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        along = end - start
        t = np.tensordot(along / max(float(along @ along), 1e-6), q, axes=1)
        t -= float(start @ along) / max(float(along @ along), 1e-6)
        np.clip(t, 0, 1, out=t)
        square = np.zeros_like(t)
        for axis in range(3):
            offset = q[axis] - start[axis]
            offset -= along[axis] * t
            offset *= offset
            square += offset
        np.sqrt(square, out=square)
        square -= r0 + (r1 - r0) * t
        np.minimum(nearest, square, out=nearest)
    return nearest


def soft_union(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """The union of two shapes, with a fillet of about ``blend_mm`` where they meet."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend_mm, 0, 1)
    return b + (a - b) * h - blend_mm * h * (1 - h)


def barrel(
    p: np.ndarray, *, half_width_mm: float, half_depth_mm: float, y_mm: float = 0.0, power: float = 2.4
) -> np.ndarray:
    """A column along z with a rounded-rectangle (superellipse) cross-section centred at (0, y)."""
    u = np.abs(p[0] / np.float32(half_width_mm))
    v = np.abs((p[1] - np.float32(y_mm)) / np.float32(half_depth_mm))
    radius = (u**power + v**power) ** (1 / power)
    return (radius - 1) * np.float32(min(half_width_mm, half_depth_mm))


def waves(p: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A sum of plane sine waves; each row of the table: wave vector (rad/mm) x, y, z, phase (rad), amplitude (mm)."""
    total = np.zeros(p.shape[1:], np.float32)
    for kx, ky, kz, phase, amplitude in table.astype(np.float32):
        angle = kx * p[0]
        angle += ky * p[1]
        angle += kz * p[2] + phase
        np.sin(angle, out=angle)
        angle *= amplitude
        total += angle
    return total


def draw_waves(
    rng: np.random.Generator, count: int, wavelength_mm: tuple[float, float], amplitude_mm: float
) -> np.ndarray:
    """Random rows for ``waves``; the sum has a standard deviation of about ``amplitude_mm``."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = rng.uniform(*wavelength_mm, size=(count, 1))
    phase = rng.uniform(0, 2 * np.pi, size=(count, 1))
    amplitude = amplitude_mm * np.sqrt(2 / count) * rng.uniform(0.7, 1.3, size=(count, 1))
    return np.hstack([direction * 2 * np.pi / wavelength, phase, amplitude])


def coverage(f: np.ndarray) -> np.ndarray:
    """The fraction of each voxel inside a shape, 0 to 1, from its function on the voxel grid.

    A plane that cuts a box covers a fraction that runs from 1 to 0 while the plane moves by the sum of the absolute
    differences from voxel to voxel; so any grid, spacing and rotation is right without being told.
    """
    slope = np.zeros_like(f)
    for axis in range(3):
        if f.shape[axis] > 1:
            slope += np.abs(np.gradient(f, axis=axis))
    np.maximum(slope, 1e-4, out=slope)
    return np.clip(0.5 - f / slope, 0, 1)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """The 3x3 rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _norm(q: np.ndarray, centre: np.ndarray) -> np.ndarray:
    square = np.zeros(q.shape[1:], np.float32)
    for axis in range(3):
        square += (q[axis] - centre[axis]) ** 2
    return np.sqrt(square)
