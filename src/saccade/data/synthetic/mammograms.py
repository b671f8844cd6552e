"""Simulated mammograms: lesions of known shape, margin and density among other things that are as bright.

A breast lies at the chest wall on one side. Fat is dark, glands are a random field of power-law spectrum (Burgess et
al. 2001, doi:10.1118/1.1355308), the pectoral muscle is bright. A lesion adds to what is there: how much is its
density, how its outline runs its shape, how it ends its margin (the words are those of BI-RADS). Vessels, islands of
glands, lobules of fat and specks like calcifications lie anywhere, whether there is a lesion or not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from saccade.data.detection.case import BoxDataset, Object, Scene
from saccade.data.detection.table import write_box_table
from saccade.errors import InputError, unknown_name
from saccade.files import atomic

DESCRIPTORS: dict[str, tuple[str, ...]] = {
    "shape": ("round", "oval", "irregular"),
    "margin": ("circumscribed", "indistinct", "spiculated"),
    "density": ("low", "equal", "high"),
}
LESION = "lesion"
IMPRESSIONS = ("benign-looking lesion", "suspicious lesion")
CLASSES = {"lesion": (LESION,), "impression": IMPRESSIONS}
SIDE = 128  # pixels
COUNTS = (0.1, 0.3, 0.3, 0.3)  # chances of 0, 1, 2, 3 lesions
HALF_SIDE = 7.0, 12.5  # pixels, of the square as large as a lesion's box
CONTRAST = {"low": 0.12, "equal": 0.19, "high": 0.28}  # that the density adds; islands of glands add 0.15 to 0.35
# What speaks for malignancy; drawn with chance sigmoid(3 (sum - 1)), so that the impression is not sure.
SUSPICION = {"irregular": 0.6, "indistinct": 0.5, "spiculated": 1.2, "high": 0.4}
AROUND = 2.0  # pixels between a lesion and whatever it must not touch
ANGLES = np.linspace(-np.pi, np.pi, 361)
Field = np.ndarray


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        x, y: Its middle, pixels; the first pixel reaches from 0 to 1.
        outline: (361,) radii towards `ANGLES`.
        values: Descriptor -> value.
    """

    x: float
    y: float
    outline: np.ndarray
    values: dict[str, str]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Around the outline; spicules reach beyond."""
        x, y = self.x + self.outline * np.cos(ANGLES), self.y + self.outline * np.sin(ANGLES)
        x1, y1, x2, y2 = (round(float(end), 2) for end in (x.min(), y.min(), x.max(), y.max()))
        return x1, y1, x2, y2

    def beyond(self, x: Field, y: Field) -> Field:
        """Pixels from the outline along the ray from the middle; below 0 inside."""
        return np.hypot(x - self.x, y - self.y) - np.interp(np.arctan2(y - self.y, x - self.x), ANGLES, self.outline)


@dataclass(frozen=True)
class Breast:
    """Where tissue is; all (rows, columns).

    Attributes:
        x, y: Middles of the pixels.
        depth: Pixels from the skin; below 0 in air.
        muscle: Pixels from the edge of the pectoral muscle; above 0 within.
    """

    x: Field
    y: Field
    depth: Field
    muscle: Field

    def room(self) -> Field:
        """Largest radius that what lies at each pixel may have."""
        border = np.minimum(np.minimum(self.x, SIDE - self.x), np.minimum(self.y, SIDE - self.y))
        return np.minimum(np.minimum(self.depth, -self.muscle), border) - AROUND


def make(
    out: Path | str,
    *,
    cases: int,
    seed: int,
    classes: str = "lesion",
    missing: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write mammograms in ``images/``, ``boxes.csv`` with a column for each descriptor, and masks in ``truth/``.

    The value of a mask is the number of the lesion, from 1 in the order of the table; 0 is none.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many, at least 1; a mammogram does not depend on how many there are.
        seed: 0 or more; another seed gives other mammograms.
        classes: ``lesion`` for one class, or ``impression``: benign-looking or suspicious, a draw that depends on the
            descriptors.
        missing: Part of the descriptors that nobody wrote down, 0 to 1; their cells are empty.
        progress: Called with (mammograms done, cases) after each.

    Returns:
        Their ids: mammogram_0000, mammogram_0001, ...

    Raises:
        InputError: If a number is out of range or the kind of classes unknown.
    """
    if cases < 1:
        raise InputError(f"{out}: cases must be 1 or more, got {cases}.")
    if not 0 <= missing <= 1:
        raise InputError(f"{out}: missing must be 0 to 1, got {missing:g}.")
    out, scenes = Path(out), []
    for case in range(cases):
        id = f"mammogram_{case:04d}"
        image, mask, objects = simulate_mammogram(seed, case, classes=classes, missing=missing)
        for folder, array in (("images", image), ("truth", mask)):
            with atomic(out / folder / f"{id}.png") as temporary:
                Image.fromarray(array).save(temporary)
        scenes.append(Scene(id, out / "images" / f"{id}.png", objects))
        if progress:
            progress(case + 1, cases)
    write_box_table(BoxDataset(out, "table", tuple(scenes), CLASSES[classes]), out)
    return [scene.id for scene in scenes]


def simulate_mammogram(
    seed: int, case: int, *, classes: str = "lesion", missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray, tuple[Object, ...]]:
    """One mammogram; see `make` for the choices.

    Returns:
        Grey levels and the number of the lesion at each pixel (uint8, both 128 x 128), and the lesions.

    Raises:
        InputError: If seed or case is negative, or the kind of classes unknown.

    Example:
        >>> image, mask, objects = simulate_mammogram(seed=0, case=0)
        >>> image.shape, int(mask.max()) == len(objects)
        ((128, 128), True)
    """
    if seed < 0 or case < 0:
        raise InputError(f"simulate_mammogram: seed and case must be 0 or more, got {seed} and {case}.")
    if classes not in CLASSES:
        raise unknown_name("simulate_mammogram", "kind of classes", classes, list(CLASSES))
    rng = np.random.default_rng((seed, 0, case))
    breast = _draw_breast(rng)
    tissue = _draw_tissue(rng, breast)
    lesions = _draw_lesions(rng, breast)
    tissue = _draw_decoys(rng, breast, tissue, lesions)
    for lesion in lesions:
        tissue = _draw_lesion(rng, breast, tissue, lesion)
    seen = gaussian_filter(tissue, 0.5) + rng.normal(0, 0.015, tissue.shape)
    image = np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)
    mask = np.zeros(image.shape, np.uint8)
    for number, lesion in enumerate(lesions, 1):
        mask[lesion.beyond(breast.x, breast.y) < 0] = number
    words = np.random.default_rng((seed, 1, case))  # of its own, so that the picture is the same whatever is written
    return image, mask, tuple(_written(words, lesion, classes, missing) for lesion in lesions)


def _written(rng: np.random.Generator, lesion: Lesion, classes: str, missing: float) -> Object:
    suspicion = sum(SUSPICION.get(value, 0) for value in lesion.values.values())
    suspicious = rng.random() < 1 / (1 + np.exp(-3 * (suspicion - 1)))
    known = {name: value for name, value in lesion.values.items() if rng.random() >= missing}
    return Object(lesion.box, LESION if classes == "lesion" else IMPRESSIONS[int(suspicious)], more=known)


def _draw_breast(rng: np.random.Generator) -> Breast:
    """Half an ellipse at the left or right border, and a muscle across its upper corner."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    from_wall = x if rng.random() < 0.5 else SIDE - x
    across, along, middle = SIDE * rng.uniform((0.8, 0.44, 0.48), (0.97, 0.52, 0.52))
    rho = np.hypot(from_wall / across, (y - middle) / along)
    depth = (1 - rho) * np.minimum(across, along)
    down, wide = SIDE * rng.uniform((0.3, 0.15), (0.55, 0.35))
    muscle = (1 - from_wall / wide - y / down) / np.hypot(1 / wide, 1 / down)
    return Breast(x, y, depth, muscle)


def _draw_tissue(rng: np.random.Generator, breast: Breast) -> Field:
    """Fat, glands and muscle, under the skin."""
    thick = np.sqrt(np.clip(breast.depth / 18, 0, 1))
    glands = 1 / (1 + np.exp(-2 * (_power_law(rng) + rng.uniform(-0.6, 0.6))))
    grain = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.2)
    tissue = thick * (0.15 + 0.35 * glands + 0.04 * (0.3 + glands) * grain / grain.std())
    tissue += 0.30 / (1 + np.exp(-breast.muscle / 1.5)) * thick
    return tissue + 0.06 * np.exp(-(((breast.depth - 1.5) / 1.2) ** 2))


def _power_law(rng: np.random.Generator, exponent: float = 3.0) -> Field:
    """A random field of mean 0 and variance 1 whose power falls with the third power of the frequency.

    A part of a larger one: what the discrete Fourier transform makes is periodic.
    """
    frequency = np.hypot(np.fft.fftfreq(2 * SIDE)[:, None], np.fft.rfftfreq(2 * SIDE))
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.normal(size=(2 * SIDE, 2 * SIDE))) * frequency ** (-exponent / 2)
    field = np.fft.irfft2(waves)[:SIDE, :SIDE]
    return (field - field.mean()) / field.std()


def _draw_lesions(rng: np.random.Generator, breast: Breast) -> list[Lesion]:
    lesions: list[Lesion] = []
    room = breast.room()
    for _ in range(rng.choice(len(COUNTS), p=COUNTS)):
        values = {name: str(rng.choice(words)) for name, words in DESCRIPTORS.items()}
        outline = _draw_outline(rng, values["shape"])
        reach = outline.max()
        free = room >= reach
        for other in lesions:
            free &= np.hypot(breast.x - other.x, breast.y - other.y) > other.outline.max() + reach + 2 * AROUND
        places = np.argwhere(free)
        if len(places):  # a breast full of lesions has no more
            row, column = places[rng.integers(len(places))] + rng.random(2)
            lesions.append(Lesion(float(column), float(row), outline, values))
    return lesions


def _draw_outline(rng: np.random.Generator, shape: str) -> np.ndarray:
    """Radii towards `ANGLES`; how large the box is does not depend on the shape."""
    turn = rng.uniform(0, 2 * np.pi)
    ratio = {"round": rng.uniform(1.0, 1.15), "oval": rng.uniform(1.5, 2.0), "irregular": rng.uniform(1.0, 1.7)}[shape]
    outline = 1 / np.hypot(np.cos(ANGLES - turn) / ratio, np.sin(ANGLES - turn))
    strength = rng.uniform(0.16, 0.22) if shape == "irregular" else 0.02
    phases, sizes = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.6, 1.0, 3)
    waves = np.cos(np.arange(3, 6)[:, None] * ANGLES + phases[:, None]) * sizes[:, None]
    outline = outline * np.exp(strength * waves.sum(0) / np.sqrt((sizes**2).sum() / 2))
    width, height = np.ptp(outline * np.cos(ANGLES)), np.ptp(outline * np.sin(ANGLES))
    return outline * rng.uniform(*HALF_SIDE) * 2 / np.sqrt(width * height)


def _draw_lesion(rng: np.random.Generator, breast: Breast, tissue: Field, lesion: Lesion) -> Field:
    """Its density added, its own tissue more even than what was there."""
    beyond, radius, margin = lesion.beyond(breast.x, breast.y), lesion.outline.mean(), lesion.values["margin"]
    contrast = CONTRAST[lesion.values["density"]] * rng.uniform(0.92, 1.08)
    blur = 0.17 * radius if margin == "indistinct" else 0.4  # pixels
    body = 1 / (1 + np.exp(beyond / blur))
    even = np.average(tissue, weights=body)
    spicules = _spicules(rng, breast, lesion, beyond) if margin == "spiculated" else 0.0
    return tissue + body * (contrast - 0.6 * (tissue - even)) + contrast * 0.8 * spicules * (1 - body)


def _spicules(rng: np.random.Generator, breast: Breast, lesion: Lesion, beyond: Field) -> Field:
    """Thin lines outwards all around, 1 where they begin."""
    dx, dy = breast.x - lesion.x, breast.y - lesion.y
    count = rng.integers(10, 15)
    angles = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    lines = np.zeros_like(dx)
    for angle, length in zip(angles, lesion.outline.mean() * rng.uniform(0.5, 1.0, count), strict=True):
        ahead, aside = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        left = np.clip(1 - beyond / length, 0, 1) * (ahead > 0)
        lines = np.maximum(lines, np.sqrt(left) * np.exp(-((aside / 0.8) ** 2)) * (left > 0))
    return lines


def _draw_decoys(rng: np.random.Generator, breast: Breast, tissue: Field, lesions: list[Lesion]) -> Field:
    """Vessels and specks anywhere in the breast, islands of glands and lobules of fat beside the lesions."""
    inside, room = breast.depth > 3, breast.room()
    for lesion in lesions:
        room = np.minimum(room, lesion.beyond(breast.x, breast.y) - AROUND)
    for _ in range(rng.integers(1, 4)):
        tissue = tissue + inside * rng.uniform(0.08, 0.16) * _vessel(rng, breast)
    for kind, count in (("island", rng.integers(3, 6)), ("lobule", rng.integers(1, 4))):
        for _ in range(count):
            radius = rng.uniform(6, 13)
            places = np.argwhere(room > 0.6 * radius)
            if not len(places):
                continue
            row, column = places[rng.integers(len(places))]
            away = np.hypot(breast.x - column - 0.5, breast.y - row - 0.5)
            if kind == "island":
                grain = gaussian_filter(rng.normal(size=tissue.shape), 1.5)
                bright = np.clip(1 + 0.9 * grain / grain.std(), 0, None)
                tissue = tissue + rng.uniform(0.15, 0.35) * np.exp(-((away / radius) ** 4)) * bright
            else:
                tissue = tissue - 0.5 * (tissue - 0.15) / (1 + np.exp((away - radius) / 0.8))
                tissue = tissue + 0.05 * np.exp(-(((away - radius) / 0.9) ** 2))
    specks = np.zeros_like(tissue)
    places = np.argwhere(inside)
    for _ in range(rng.integers(0, 4)):
        middle = places[rng.integers(len(places))]
        near = np.rint(middle + rng.normal(0, 3, (rng.integers(3, 9), 2))).astype(int)
        rows, columns = np.clip(near, 0, SIDE - 1).T
        specks[rows, columns] = rng.uniform(0.5, 1.0, len(rows))
    return tissue + gaussian_filter(specks * inside, 0.5)


def _vessel(rng: np.random.Generator, breast: Breast) -> Field:
    """A curved line across the picture, 1 in its middle, some two pixels wide."""
    angle, bend, phase = rng.uniform(0, np.pi), rng.uniform(4, 12), rng.uniform(0, 2 * np.pi)
    dx, dy = breast.x - rng.uniform(0, SIDE), breast.y - rng.uniform(0, SIDE)
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    off = across - bend * np.sin(along / rng.uniform(12, 30) + phase)
    return np.exp(-((off / rng.uniform(0.7, 1.3)) ** 2))
