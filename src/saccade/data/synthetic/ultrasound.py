"""Simulated planes of fetal ultrasound, whose kind hangs on one small structure among larger ones that say nothing.

A plane is a fan of speckle: the echo of every point, times what bone in front of it and depth have left of the beam, as
the size of a sum of random waves, log-compressed. Large organs, their walls, fluid and bone are drawn alike for all
kinds. Three small structures of equal size, and equal brightness in the mean, lie among them in random places, never
behind bone: of a standard plane one is decisive, of a background plane none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from saccade.data.synthetic.image_table import write_image_table
from saccade.errors import InputError, unknown_name
from saccade.files import atomic

SIZES = {"small": (72, 96), "full": (208, 272)}  # pixels, rows and columns; the second are the paper's
BACKGROUND = "background"
Field = np.ndarray
Form = Callable[[Field, Field], Field]
_VESSELS = [(0.6 * np.cos(turn), 0.6 * np.sin(turn)) for turn in 2 * np.pi * np.arange(3) / 3]
# Of each plane its decisive structure: the third of a disc with the lowest value is bright, the rest dark.
DECISIVE: dict[str, Form] = {
    "abdomen": lambda u, v: np.hypot(u, v),  # a disc
    "brain": lambda u, v: np.abs(np.abs(v) - 0.5),  # two lines side by side
    "femur": lambda u, v: np.abs(v),  # one line
    "four-chamber": lambda u, v: np.minimum(np.abs(u), np.abs(v)),  # a cross
    "kidney": lambda u, v: np.abs(np.hypot(u, v) - 0.65),  # a ring
    "three-vessel": lambda u, v: np.min([np.hypot(u - x, v - y) for x, y in _VESSELS], 0),
}
# Every eight planes in a row, in random order: one of each kind and two of the background, the most common.
ROUND = (*DECISIVE, BACKGROUND, BACKGROUND)
STRUCTURES, RADIUS = 3, (0.12, 0.14)  # small ones a plane; all lengths are parts of the plane's height
BRIGHT_PART, BRIGHT, DARK = 1 / 3, 1.6, 0.1  # of small structures: share of the area, echo; tissue's is 0.5
TISSUE, WALL, FLUID, BONE = 0.5, 1.3, 0.08, 3.0
CLEAR = 0.02  # between small structures and around them
SPECKLE = (0.006, 0.010)  # width of the beam's point: along it, across it
TOP_DB, RANGE_DB = 9.0, 46.0  # echo shown as white; that many dB below it is black


@dataclass(frozen=True)
class Disc:
    """A small structure: where, how large, how it is turned, and what is bright in it."""

    x: float
    y: float
    radius: float
    turn: float
    bright: Form


@dataclass(frozen=True)
class Fan:
    """What a curved probe sees: the part of a ring around a point above the plane.

    Attributes:
        apex: How far above the plane's upper edge that point lies.
        near, far: Radii.
        half_angle: To each side of straight down.
        bones: (radius, angle, half its angle) of pieces of bone, which cast shadows.
    """

    apex: float
    near: float
    far: float
    half_angle: float
    bones: np.ndarray

    def clear(self, rho: float, angle: float, radius: float) -> bool:
        """Whether a disc lies within the fan, and neither in front of bone's shadow nor on bone."""
        room = radius + CLEAR
        if not self.near + room < rho < self.far - room:
            return False
        wide = np.arcsin(room / rho)
        behind = (np.abs(self.bones[:, 1] - angle) < self.bones[:, 2] + wide) & (self.bones[:, 0] < rho + room)
        return bool(abs(angle) + wide < self.half_angle and not behind.any())


def make(
    out: Path | str, *, cases: int, seed: int, size: str = "small", progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Write planes with a table of their kinds, and masks of what decides under the same names in ``truth/``.

    The masks are white where the decisive structure is; those of the background are black.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1; a plane does not depend on how many there are.
        seed: 0 or more; another seed gives other planes.
        size: ``small`` (72 x 96 pixels) or ``full`` (208 x 272).
        progress: Called with (planes done, cases) after each.

    Returns:
        The ids of the planes: plane_0000, plane_0001, ...

    Raises:
        InputError: If a number is too small or the size unknown.
    """

    def write_plane(case: int, id: str) -> tuple[str, str]:
        image, mask, kind = simulate_plane(seed, case, size)
        for folder, array in (("images", image), ("truth", 255 * mask.astype(np.uint8))):
            with atomic(Path(out) / folder / f"{id}.png") as temporary:
                Image.fromarray(array).save(temporary)
        return f"{id}.png", kind

    return write_image_table(out, "plane", cases, write_plane, progress)


def simulate_plane(seed: int, case: int, size: str = "small") -> tuple[np.ndarray, np.ndarray, str]:
    """One plane; see `make` for the choices.

    Returns:
        Grey levels (uint8) and where the decisive structure is (bool), both (rows, columns), and the plane's kind.

    Raises:
        InputError: If seed or case is negative, or the size unknown.

    Example:
        >>> image, mask, kind = simulate_plane(seed=0, case=1)
        >>> image.shape, kind in ROUND
        ((72, 96), True)
    """
    if seed < 0 or case < 0:
        raise InputError(f"simulate_plane: seed and case must be 0 or more, got {seed} and {case}.")
    if size not in SIZES:
        raise unknown_name("simulate_plane", "size", size, list(SIZES))
    order = np.random.default_rng((seed, 0, case // len(ROUND))).permutation(len(ROUND))
    kind = ROUND[order[case % len(ROUND)]]
    rng = np.random.default_rng((seed, 1, case))
    fan, discs = _draw_scene(rng, kind)
    rows, columns = SIZES[size]
    grey = _scan(rng, fan, discs, rows)
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5 - columns / 2) / rows, indexing="ij")
    rho, angle = np.hypot(x, y + fan.apex), np.arctan2(x, y + fan.apex)
    places = [(rho - fan.near) / (fan.far - fan.near), (angle / fan.half_angle + 1) / 2]
    scaled = [place * (n - 1) for place, n in zip(places, grey.shape, strict=True)]
    image = np.rint(255 * map_coordinates(grey, scaled, order=1, cval=0.0)).astype(np.uint8)
    mask = np.zeros((rows, columns), bool)
    if kind != BACKGROUND:
        mask = np.hypot(x - discs[0].x, y - discs[0].y) <= discs[0].radius
    return image, mask, kind


def _draw_scene(rng: np.random.Generator, kind: str) -> tuple[Fan, list[Disc]]:
    """The fan and its small structures, the decisive one first; bone that leaves no room for them is drawn again."""
    apex = rng.uniform(0.22, 0.34)
    while True:
        # one piece of bone in each of two or three sectors, wherever small structures will be
        half_angle = np.deg2rad(rng.uniform(27, 30))
        count = rng.integers(2, 4)
        sectors = (rng.permutation(4)[:count] + rng.uniform(0.2, 0.8, count)) / 2 - 1
        bones = np.stack(
            [apex + rng.uniform(0.2, 0.85, count), sectors * half_angle, np.deg2rad(rng.uniform(1.5, 4, count))], 1
        )
        fan = Fan(apex, apex + 0.03, apex + 0.98, half_angle, bones)
        places: list[tuple[float, float, float]] = []
        for _ in range(200):
            rho = np.sqrt(rng.uniform(fan.near**2, fan.far**2))
            angle, radius = rng.uniform(-half_angle, half_angle), rng.uniform(*RADIUS)
            x, y = rho * np.sin(angle), rho * np.cos(angle) - apex
            apart = all(np.hypot(x - a, y - b) > radius + r + CLEAR for a, b, r in places)
            if apart and fan.clear(rho, angle, radius):
                places.append((x, y, radius))
            if len(places) == STRUCTURES:
                forms = [DECISIVE.get(kind, _half)] + [_half] * (STRUCTURES - 1)
                mixed = [places[i] for i in rng.permutation(STRUCTURES)]  # later places are a little more crowded
                return fan, [
                    Disc(x, y, radius, rng.uniform(0, 2 * np.pi), form)
                    for (x, y, radius), form in zip(mixed, forms, strict=True)
                ]


def _half(u: Field, v: Field) -> Field:
    """What small structures that decide nothing are: bright on one side."""
    return v


def _scan(rng: np.random.Generator, fan: Fan, discs: list[Disc], rows: int) -> np.ndarray:
    """Grey levels, 0 to 1, by radius and angle."""
    shape = round(2.2 * rows), 2 * rows
    rho, angle = np.linspace(fan.near, fan.far, shape[0])[:, None], np.linspace(-1, 1, shape[1]) * fan.half_angle
    x, y = rho * np.sin(angle), rho * np.cos(angle) - fan.apex
    echo = _draw_anatomy(rng, x, y)
    for disc in discs:
        echo = _draw_disc(echo, disc, x, y)
    left = 10 ** (-rng.uniform(0, 9) * (rho - fan.near) / 20) * np.ones(shape)  # of the beam: 0 to 9 dB are lost
    for radius, centre, half in fan.bones:
        there = np.abs(angle - centre) < half
        echo = np.where(there & (np.abs(rho - radius) < 0.012), BONE, echo)
        left *= np.where(there & (rho > radius + 0.012), rng.uniform(0.05, 0.2), 1.0)
    # the beam's point has one length everywhere, but is the wider in angle the nearer it is: taken at the middle
    across = (fan.near + fan.far) * fan.half_angle
    widths = SPECKLE[0] / (fan.far - fan.near) * shape[0], SPECKLE[1] / across * shape[1]
    waves = [gaussian_filter(rng.normal(size=shape), widths) for _ in range(2)]
    speckle = np.hypot(*waves) / np.sqrt(np.mean(np.square(waves)))
    decibel = 20 * np.log10(np.maximum(echo * left * speckle, 1e-6)) + rng.uniform(-3, 3)
    return np.clip((decibel - TOP_DB) / RANGE_DB + 1, 0, 1)


def _draw_anatomy(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Echo of all that is large: tissue, fluid, bright and dark organs, and the wall of a head or belly."""
    echo = TISSUE * np.exp(0.25 * _smooth_noise(rng, x.shape))

    def ellipse(low: float, high: float) -> Field:
        """Below 1 inside an ellipse with half axes of these lengths."""
        turn, across, down = rng.uniform(0, np.pi), rng.uniform(-0.45, 0.45), rng.uniform(0.1, 0.95)
        a, b = rng.uniform(low, high, 2)
        u = (x - across) * np.cos(turn) + (y - down) * np.sin(turn)
        v = (y - down) * np.cos(turn) - (x - across) * np.sin(turn)
        return np.hypot(u / a, v / b)

    wall = ellipse(0.3, 0.45)
    echo = np.where(wall < 1, echo * rng.uniform(0.6, 1.0), echo)
    for _ in range(rng.integers(2, 5)):
        echo = np.where(ellipse(0.08, 0.22) < 1, echo * rng.choice([0.4, 0.6, 1.6, 2.0]), echo)
    for _ in range(rng.integers(1, 4)):
        echo = np.where(ellipse(0.06, 0.18) < 1, FLUID, echo)
    return np.where(np.abs(wall - 1) < 0.04, WALL, echo)


def _draw_disc(echo: Field, disc: Disc, x: Field, y: Field) -> Field:
    u = ((x - disc.x) * np.cos(disc.turn) + (y - disc.y) * np.sin(disc.turn)) / disc.radius
    v = ((y - disc.y) * np.cos(disc.turn) - (x - disc.x) * np.sin(disc.turn)) / disc.radius
    inside = np.hypot(u, v) <= 1
    bright = disc.bright(u, v)
    drawn = np.where(bright <= _threshold(disc.bright), BRIGHT, DARK)
    return np.where(inside, drawn, echo)


@cache
def _threshold(form: Form) -> float:
    """Below which a form is bright on its part of the unit disc: the same area for every form."""
    v, u = np.mgrid[-1:1:81j, -1:1:81j]
    return float(np.quantile(form(u, v)[np.hypot(u, v) <= 1], BRIGHT_PART))


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    noise = gaussian_filter(rng.normal(size=(24, 24)), 1.5)
    fine = np.meshgrid(*(np.linspace(0, 23, n) for n in shape), indexing="ij")
    return map_coordinates(noise / noise.std(), fine, order=1)
