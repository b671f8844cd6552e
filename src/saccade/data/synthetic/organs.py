"""The organs of one simulated patient, drawn from the mean abdomen and its spread."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from saccade.data.synthetic.anatomy import KEEP, Cut, Layer, Structure, load_atlas, near_normal, stream
from saccade.data.synthetic.shapes import Part, draw_waves, rotation

SAMPLES_PER_SPAN = 5  # of a tube's curve, from one of its points to the next
WAVELENGTHS_MM = (32.0, 80.0)  # of an organ's surface


def draw_organs(seed: int, case: int) -> tuple[Structure, ...]:
    """The structures of one case in painting order; an absent gallbladder is not among them."""
    drawn = _Drawn(seed, case)
    for name, entry in load_atlas()["structures"].items():
        rng = stream(seed, case, name)
        if rng.uniform() < entry.get("absent", 0):
            continue
        if "loops" in entry:
            for number in range(entry["loops"]["count"]):
                drawn.add(f"{name} {number}", entry, [_loop(entry["loops"], rng)], rng)
        elif "variants" in entry:
            points = entry["variants"][rng.integers(len(entry["variants"]))]
            drawn.add(name, entry, [entry | {"points": points}], rng)
        else:
            drawn.add(name, entry, entry["parts"], rng)
    return tuple(drawn.structures)


@dataclass(frozen=True)
class _Placement:
    """How a structure is moved as a whole: turned and sized about its pivot, then shifted (mm)."""

    pivot: np.ndarray
    turn: np.ndarray
    size: np.ndarray
    shift: np.ndarray

    def move(self, points: np.ndarray) -> np.ndarray:
        return self.pivot + (self.size * (points - self.pivot)) @ self.turn.T + self.shift


@dataclass
class _Drawn:
    """What has been drawn of one patient so far: later structures hang on earlier ones."""

    seed: int
    case: int
    structures: list[Structure] = field(default_factory=list)
    hu: dict[str, float] = field(default_factory=dict)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    placements: dict[str, _Placement] = field(default_factory=dict)

    def add(self, name: str, entry: dict[str, Any], parts: list[dict[str, Any]], rng: np.random.Generator) -> None:
        vary = entry.get("vary", {})
        if "follows" in entry:
            placement = self.placements[entry["follows"]]
        else:
            placement = _place(parts, vary, stream(self.seed, self.case, f"place {name}"))
        self.placements[name] = placement
        points = [self._points(part["points"], placement, float(vary.get("point", 0)), rng) for part in parts]
        self.points[name] = points[0]
        built = tuple(
            _part(part, at, placement, float(vary.get("radius", 0)), rng)
            for part, at in zip(parts, points, strict=True)
        )
        self.hu[name] = self._hu(entry["hu"], rng)
        wave = float(vary.get("wave", 0))
        self.structures.append(
            Structure(
                name=name,
                label=entry.get("label", KEEP),
                parts=built,
                layers=self._layers(name, entry, built, rng),
                halo_mm=float(entry.get("halo", 0)),
                blend_mm=float(entry.get("blend", 0)),
                inside=tuple(entry.get("inside", ())),
                cuts=tuple(_cut(cut, placement) for cut in entry.get("cuts", ())),
                waves=draw_waves(rng, 4, WAVELENGTHS_MM, wave) if wave else np.zeros((0, 5)),
            )
        )

    def _points(
        self, points: list[Any], placement: _Placement, jitter_mm: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Where a part's points lie; those that hang on another structure take that one's place, not this one's."""
        at = [
            self.points[point[0]][point[1]] + point[2:]
            if isinstance(point[0], str)
            else placement.move(np.array(point))
            for point in points
        ]
        return np.array(at) + jitter_mm * near_normal(rng, (len(at), 3))

    def _layers(
        self, name: str, entry: dict[str, Any], parts: tuple[Part, ...], rng: np.random.Generator
    ) -> tuple[Layer, ...]:
        layers = [Layer(0.0, self.hu[name])]
        for layer in entry.get("layers", ()):
            layers.append(Layer(float(layer["depth"]), self._hu(layer["hu"], rng), float(layer.get("mottle", 0))))
        contrast, gas = entry.get("contrast"), entry.get("gas")
        if contrast and rng.uniform() < contrast["chance"]:
            layers[-1] = Layer(layers[-1].depth_mm, self._hu(contrast["hu"], rng))
        if gas and rng.uniform() < gas["chance"]:
            low = min(part.bounds(0.0)[0][1] for part in parts)
            high = max(part.bounds(0.0)[1][1] for part in parts)
            level = low + (high - low) * (0.5 + 0.5 * rng.uniform(*gas["level"]))
            layers.append(Layer(layers[-1].depth_mm, float(gas["hu"]), front_of_mm=float(level)))
        return tuple(layers)

    def _hu(self, entry: list[Any], rng: np.random.Generator) -> float:
        """[mean, sd], or [structure, difference, sd] from the HU drawn for that one."""
        *base, offset, spread = entry
        return float((self.hu[base[0]] if base else 0) + offset + spread * near_normal(rng))


def _place(parts: list[dict[str, Any]], vary: dict[str, Any], rng: np.random.Generator) -> _Placement:
    own = [point for part in parts for point in part["points"] if not isinstance(point[0], str)]
    return _Placement(
        pivot=np.mean(own, axis=0) if own else np.zeros(3),
        turn=rotation(vary.get("turn", 0) * near_normal(rng, 3)),
        size=np.exp(vary.get("size", 0) * near_normal(rng, 3)),
        shift=np.asarray(vary.get("shift", 0)) * near_normal(rng, 3),
    )


def _part(
    entry: dict[str, Any], points: np.ndarray, placement: _Placement, spread: float, rng: np.random.Generator
) -> Part:
    radii = np.array(entry["radii"], float) * np.exp(spread * near_normal(rng, (len(points),)))
    axes = placement.turn @ rotation(np.array(entry.get("turn", (0.0, 0.0, 0.0))))
    if len(points) > 1:
        points, radii = _smooth(points, radii)
    return Part(points, radii, np.array(entry.get("stretch", (1.0, 1.0, 1.0))) * placement.size, axes.T)


def _smooth(points: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve through the points, with radii that stay between the given ones."""
    lengths = np.maximum(np.linalg.norm(np.diff(points, axis=0), axis=1), 1e-3)
    knots = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.linspace(0, knots[-1], SAMPLES_PER_SPAN * (len(points) - 1) + 1)
    tangents = (
        np.gradient(points, knots, axis=0) if len(points) > 2 else np.repeat(np.diff(points, axis=0), 2, 0) / lengths
    )
    return CubicHermiteSpline(knots, points, tangents)(at), PchipInterpolator(knots, radii)(at)


def _cut(entry: dict[str, Any], placement: _Placement) -> Cut:
    normal = placement.turn @ np.array(entry["normal"])
    return Cut(placement.move(np.array(entry["point"])), normal / np.linalg.norm(normal), float(entry["blend"]))


def _loop(entry: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A winding tube inside an ellipsoid: a walk that turns and is pulled back where it would leave."""
    centre, extent = np.array(entry["centre"], float), np.array(entry["extent"], float)
    at = rng.uniform(-0.75, 0.75, 3)
    heading = rng.normal(size=3)
    points = []
    for _ in range(entry["points"]):
        points.append((centre + extent * at).tolist())
        heading = heading / np.linalg.norm(heading) + 0.8 * rng.normal(size=3) - 0.9 * at
        at = at + entry["step"] / extent * heading / np.linalg.norm(heading)
        at /= max(1.0, float(np.linalg.norm(at)))
    return {"points": points, "radii": [entry["radius"]] * len(points)}
