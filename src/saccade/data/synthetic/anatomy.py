"""One simulated patient as numbers: the shapes, HU and deformation of an abdomen before a single voxel is painted."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from zlib import crc32

import numpy as np
import yaml

from saccade.data.synthetic.shapes import Part, draw_waves

KEEP = -1  # the label of a structure that leaves the label below it as it is


@dataclass(frozen=True)
class Layer:
    """What lies deeper than ``depth_mm`` under a surface; gas only in front of ``front_of_mm``."""

    depth_mm: float
    hu: float
    mottle_hu: float = 0.0
    front_of_mm: float | None = None


@dataclass(frozen=True)
class Cut:
    """A half-space taken away from a structure: a point on its face, the normal into it, the fillet."""

    point: np.ndarray
    normal: np.ndarray
    blend_mm: float


@dataclass(frozen=True)
class Structure:
    """An organ, a vessel or a loop of bowel; positions in mm, in the patient's own frame before the deformation.

    Attributes:
        label: Its number, 0 for what has no label, ``KEEP`` to leave what is there.
        parts: Painted as one shape, joined with a fillet of ``blend_mm``.
        layers: From the surface inwards.
        halo_mm: Width of the fat around it.
        inside: Bounds it keeps within: "cavity", "dome" (of the diaphragm).
        waves: Undulation of its surface, rows for ``shapes.waves``.
    """

    name: str
    label: int
    parts: tuple[Part, ...]
    layers: tuple[Layer, ...]
    halo_mm: float
    blend_mm: float
    inside: tuple[str, ...]
    cuts: tuple[Cut, ...]
    waves: np.ndarray


@dataclass(frozen=True)
class Body:
    """The trunk around the organs, in mm; ``hu`` by tissue.

    Attributes:
        domes: (n, 3), tops of the diaphragm: right, middle, left.
        dome_shape: Half-width, half-depth, and fall from the top to there.
        size: (3,) factors along x, y, z of the whole patient.
        warp: (3, n, 5) waves of the displacement along x, y, z.
        grain: Waves of a texture with a deviation of 1, for what is not even inside.
        spine_phase: Where in its period of one vertebra the spine stands at z = 0, 0 to 1.
    """

    half_width: float
    half_depth: float
    fat: float
    wall: float
    cavity_y: float
    cavity_back: float
    domes: np.ndarray
    dome_shape: tuple[float, float, float]
    size: np.ndarray
    warp: np.ndarray
    hu: dict[str, float]
    grain: np.ndarray
    spine_phase: float


@cache
def load_atlas() -> dict[str, Any]:
    """The mean abdomen and its spread, as written in ``abdomen.yaml``."""
    text = files("saccade.data.synthetic").joinpath("abdomen.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def stream(seed: int, case: int, name: str) -> np.random.Generator:
    """The random numbers of one thing in one case; nothing else moves them."""
    return np.random.default_rng([seed, case, crc32(name.encode())])


def near_normal(rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Standard normal numbers, cut at two deviations: varied anatomy, but never a monster."""
    return np.asarray(np.clip(rng.normal(size=size), -2, 2))


def draw_body(seed: int, case: int) -> Body:
    """The trunk of one case."""
    atlas, rng = load_atlas(), stream(seed, case, "body")
    entry = atlas["body"]
    warp, dome = entry["warp"], entry["domes"]
    low, high = map(float, warp["wavelength"])
    width, depth, fat, wall = (
        float(entry[name][0] + entry[name][1] * near_normal(rng))
        for name in ("half_width", "half_depth", "fat", "wall")
    )
    return Body(
        half_width=width + fat - entry["fat"][0],  # fat is worn outside
        half_depth=depth + fat - entry["fat"][0],
        fat=fat,
        wall=wall,
        cavity_y=float(entry["cavity_y"]),
        cavity_back=float(entry["cavity_back"]),
        domes=np.array(dome["tops"]) + dome["vary"] * near_normal(rng, (len(dome["tops"]), 3)),
        dome_shape=(float(dome["width"]), float(dome["depth"]), float(dome["drop"])),
        size=1 + entry["size"] * near_normal(rng, 3),
        warp=np.stack([draw_waves(rng, warp["count"], (low, high), warp["amplitude"]) for _ in range(3)]),
        hu={name: float(mean + spread * near_normal(rng)) for name, (mean, spread) in atlas["tissue"].items()},
        grain=draw_waves(rng, 6, (11.0, 24.0), 1.0),
        spine_phase=float(rng.uniform()),
    )
