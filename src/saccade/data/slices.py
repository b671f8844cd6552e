"""A stack of parallel slices: the grid they lie on, what is wrong with it, and its repair by interpolation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from saccade.data.grid import RAS_FROM_LPS, checked_affine
from saccade.errors import InputError

# Scanners round positions to 0.1 mm at worst; a shear below this angle goes into the affine as it is, losing nothing.
_ROUNDING_MM = 0.06
_TILT_DEGREES = 0.1
_DUPLICATE_MM = 1e-3
# A grid that holds tilted slices may have so many times their pixels, or so many; more is no tilt but a wrong header.
_WIDEST, _ENOUGH_PIXELS = 8, 2048**2


class GeometryWarning(UserWarning):
    """The slices did not lie on a rectangular, even grid and were resampled onto one."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One file of a series, in LPS mm.

    Attributes:
        file: Where its pixels are.
        position: Centre of its first pixel.
        orientation: Unit vectors along i (a row) and j (a column).
        pixel_mm: Distance of pixels along i and j.
        size: Pixels along i and j.
        thickness_mm: Thickness of the slice; 0 when not said.
    """

    file: Path
    position: np.ndarray
    orientation: np.ndarray
    pixel_mm: np.ndarray
    size: tuple[int, int]
    thickness_mm: float


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along their normal and the grid that they end up on.

    Attributes:
        slices: Sorted by position along the normal.
        shape: Voxels of the grid.
        affine: Voxel index of the grid -> RAS mm.
        depths: Where each slice lies on the grid's k axis, in voxels.
        offsets: Where the first pixel of each slice lies on the grid's i and j axes, in voxels.
        faults: Why the slices must be resampled to lie on it, a sentence each; empty when they lie on it already.
    """

    slices: list[Slice]
    shape: tuple[int, int, int]
    affine: np.ndarray
    depths: np.ndarray
    offsets: np.ndarray
    faults: list[str]


def stack(slices: list[Slice], who: Path) -> Stack:
    """Sort the slices and find their grid.

    Raises:
        InputError: If sizes or directions differ, two slices share a position, they are shifted at random in their
            plane, or most of them are missing.
    """
    _check_alike(slices, who)
    first = slices[0]
    across = np.cross(*first.orientation)
    slices = sorted(slices, key=lambda one: float(one.position @ across))
    places = np.array([one.position for one in slices]) @ across
    _check_distinct(slices, places, who)
    usual_mm = float(np.median(np.diff(places))) if len(slices) > 1 else first.thickness_mm or 1.0
    count, step_mm, whole = _even(places, usual_mm, who)
    drift = (np.array([one.position for one in slices]) - slices[0].position) @ first.orientation.T
    slope = _slope(drift, places, who)
    degrees = float(np.degrees(np.arctan(np.linalg.norm(slope))))

    faults = [] if whole else [_uneven(places, usual_mm, count)]
    origin, size, offsets = slices[0].position, first.size, np.zeros((len(slices), 2))
    if degrees > _TILT_DEGREES:
        faults.append(f"gantry tilt of {degrees:.1f} degrees. Resampled onto a rectangular grid.")
        # The grid holds every slice wherever the tilt has moved it to.
        low = np.floor(drift.min(axis=0) / first.pixel_mm + 1e-6)
        offsets = drift / first.pixel_mm - low
        origin = origin + (low * first.pixel_mm) @ first.orientation
        right, down = np.ceil(offsets.max(axis=0) - 1e-6)
        size = (first.size[0] + int(right), first.size[1] + int(down))
        if size[0] * size[1] > max(_WIDEST * first.size[0] * first.size[1], _ENOUGH_PIXELS):
            raise InputError(
                f"{who}: the slices are shifted against each other by up to {right:.0f} and {down:.0f} pixels, "
                f"a tilt of {degrees:.1f} degrees. Is the geometry in their headers right?"
            )
        slope = np.zeros(2)
    lps = np.eye(4)
    lps[:3, :2] = (first.orientation * first.pixel_mm[:, None]).T
    lps[:3, 2] = (across + slope @ first.orientation) * step_mm
    lps[:3, 3] = origin
    depths = (places - places[0]) / step_mm
    return Stack(slices, (*size, count), checked_affine(RAS_FROM_LPS @ lps, who), depths, offsets, faults)


def resample(array: np.ndarray, plan: Stack) -> np.ndarray:
    """Bring slices (i, j, n) onto the plan's grid, linearly; what no slice covers gets the smallest value there is.

    A slice that lies on the grid keeps its values; integers are rounded to integers.
    """
    background = float(array.min())
    result = np.empty(plan.shape, dtype=array.dtype)
    for k in range(plan.shape[2]):
        above = int(np.clip(np.searchsorted(plan.depths, k), 1, len(plan.slices) - 1))
        low, high = plan.depths[above - 1], plan.depths[above]
        part = float(np.clip((k - low) / (high - low), 0, 1))
        # A position rounded by the scanner is no reason to blur a slice with its neighbour.
        part = round(part) if abs(part - round(part)) * (high - low) < 0.02 else part
        plane = sum(
            weight * _placed(array[:, :, n], plan.offsets[n], plan.shape[:2], background)
            for n, weight in ((above - 1, 1 - part), (above, part))
            if weight
        )
        result[:, :, k] = np.rint(plane) if array.dtype.kind in "iu" else plane
    return result


def _placed(image: np.ndarray, offset: np.ndarray, size: tuple[int, int], background: float) -> np.ndarray:
    canvas = np.full(size, background, dtype=np.float64)
    canvas[: image.shape[0], : image.shape[1]] = image
    return ndimage.shift(canvas, offset, order=1, cval=background) if np.any(offset) else canvas


def _check_alike(slices: list[Slice], who: Path) -> None:
    first = slices[0]
    if not np.allclose(first.orientation @ first.orientation.T, np.eye(2), atol=1e-3):
        raise InputError(f"{first.file}: ImageOrientationPatient must be two unit vectors at a right angle.")
    for one in slices[1:]:
        if one.size != first.size or not np.allclose(one.pixel_mm, first.pixel_mm, atol=1e-4):
            raise InputError(f"{who}: slices of one size are needed, but {one.file.name} and {first.file.name} differ.")
        if not np.allclose(one.orientation, first.orientation, atol=1e-3):
            raise InputError(f"{who}: parallel slices are needed, but {one.file.name} and {first.file.name} are not.")


def _check_distinct(slices: list[Slice], places: np.ndarray, who: Path) -> None:
    for n in np.flatnonzero(np.diff(places) < _DUPLICATE_MM):
        raise InputError(
            f"{who}: two slices lie at {places[n]:.2f} mm, {slices[n].file.name} and {slices[n + 1].file.name}: "
            "several time points, echoes or copies? Give a folder with one of each."
        )


def _even(places: np.ndarray, usual_mm: float, who: Path) -> tuple[int, float, bool]:
    """Number and distance of the slices of the even grid from the first place on; whether each is there already.

    Raises:
        InputError: If three quarters of the slices or more would have to be invented.
    """
    if len(places) == 1:
        return 1, usual_mm, True
    span = float(places[-1] - places[0])
    steps = max(round(span / usual_mm), 1)
    if steps > 4 * len(places):
        raise InputError(f"{who}: {len(places)} slices, most {usual_mm:.2f} mm apart, cannot fill {span:.1f} mm.")
    # Evenly spread as they are; or once the missing ones are counted; else on the usual distance, what is left cut off.
    for intervals in (len(places) - 1, steps):
        nodes = np.rint((places - places[0]) * intervals / span)
        strays = np.abs(places - places[0] - nodes * span / intervals)
        if strays.max() <= _tolerance(usual_mm) and np.diff(nodes).min() > 0:
            return intervals + 1, span / intervals, intervals == len(places) - 1
    return int(span / usual_mm + 1e-6) + 1, usual_mm, False


def _uneven(places: np.ndarray, usual_mm: float, count: int) -> str:
    """A sentence about the gaps that differ from the usual one."""
    wrong = np.flatnonzero(np.abs(np.diff(places) - usual_mm) > _tolerance(usual_mm))
    shown = ", ".join(f"{places[n]:.2f} to {places[n + 1]:.2f}" for n in wrong[:5])
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return (
        f"slices are missing or uneven: {usual_mm:.2f} mm apart except from {shown}{more} "
        f"(mm along the slice normal). Interpolated onto an even grid of {count} slices."
    )


def _slope(drift: np.ndarray, places: np.ndarray, who: Path) -> np.ndarray:
    """How far the slices move along i and j per mm along their normal.

    Raises:
        InputError: If they do not move along a line.
    """
    depth = places - places[0]
    if not depth.any():
        return np.zeros(2)
    slope = depth @ drift / (depth @ depth)
    stray_mm = float(np.abs(drift - np.outer(depth, slope)).max())
    if stray_mm > 5 * _ROUNDING_MM:
        raise InputError(
            f"{who}: the slices are shifted against each other in their plane, by up to {stray_mm:.2f} mm."
        )
    return slope


def _tolerance(step_mm: float) -> float:
    return min(max(_ROUNDING_MM, 0.02 * step_mm), 0.25 * step_mm)
