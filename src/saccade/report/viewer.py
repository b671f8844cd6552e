"""What the page's viewer gets: a description of every shown case, and its volumes as packed text."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from saccade.explain.render import MapScale, map_colours, map_scale
from saccade.report.gather import Case, Run
from saccade.report.pack import pack
from saccade.report.scenes import Scene, read_scene

IMAGE_SHARE = 0.75  # of a case's part of the page; the rest is for its labels and maps
FULL_CASES = 10  # as many cases as have room, each with at least 256 pixels in plane
LARGEST_CASE_BYTES = 20e6  # beyond this a browser is kept waiting for details that nobody sees


@dataclass
class Viewer:
    """The cases that the page shows, worst first.

    Attributes:
        entries: For each case what viewer.js reads.
        volumes: Packed volumes; entries name them by their number.
        scales: Colour scale of each map's name, the same in every case.
        notices: For each case what could not be shown of it.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    scales: dict[str, MapScale] = field(default_factory=dict)
    notices: dict[str, list[str]] = field(default_factory=dict)

    def json(self, run: Run) -> Markup:
        """Everything but the volumes, as JSON that can stand inside a script element."""
        scales = {
            name: {"limits": scale.limits, "colours": map_colours(scale).ravel().tolist()}
            for name, scale in self.scales.items()
        }
        names = {str(value): name for value, name in run.labels.items()}
        colours = {str(value): colour for value, colour in run.colours().items()}
        content = {"cases": self.entries, "scales": scales, "names": names, "colours": colours}
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        # No name from a file can end the element or begin a comment.
        for character in "<>&":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return Markup(text)


def build_viewer(run: Run, most_cases: int | None, most_bytes: float) -> Viewer:
    """Read and pack the worst cases, as many as asked for and as fit into ``most_bytes`` of the page.

    A case whose scan is gone takes no room; its notices are kept. When the next case would not fit, that one and those
    after it are left out.

    Args:
        run: Its cases are sorted, worst first.
        most_cases: None for all.
        most_bytes: For all volumes together.
    """
    cases = run.cases if most_cases is None else run.cases[:most_cases]
    data = run.config.get("data")
    intensity = data.get("intensity") if isinstance(data, dict) else None
    available = sum(case.source is not None for case in cases)
    part = min(most_bytes / max(min(available, FULL_CASES), 1), LARGEST_CASE_BYTES)
    viewer, used = Viewer(), 0
    ranges: dict[str, list[float]] = {}
    for case in cases:
        scene, notices = read_scene(
            case, intensity if isinstance(intensity, dict) else {}, set(run.colours()), part * IMAGE_SHARE
        )
        viewer.notices[case.name] = notices
        if scene is None:
            continue
        entry, volumes = _entry(run, case, scene, len(viewer.volumes))
        used += sum(map(len, volumes))
        if used > most_bytes:
            del viewer.notices[case.name]
            break
        viewer.entries.append(entry)
        viewer.volumes += volumes
        for name, map_ in scene.maps.items():
            ranges.setdefault(name, []).extend((map_.low, map_.high))
    viewer.scales = {name: map_scale(min(ends), max(ends)) for name, ends in ranges.items()}
    return viewer


def _entry(run: Run, case: Case, scene: Scene, first: int) -> tuple[dict[str, Any], list[str]]:
    """What viewer.js reads of a case, and its packed volumes, numbered from ``first``."""
    volumes: list[str] = []

    def number(volume: Any) -> int | None:
        if volume is None:
            return None
        volumes.append(pack(volume))
        return first + len(volumes) - 1

    scores = {organ: metrics.get("dice") for organ, metrics in case.scores.items()}
    organs = [
        {"name": name, "value": value, "dice": _finite(scores.get(name)), "at": scene.places.get(value)}
        for value, name in _organs(run, scene)
    ]
    entry = {
        "name": case.name,
        "dice": _finite(case.mean_dice),
        "shape": scene.image.shape,
        "original": scene.original,
        "affine": scene.affine[:3].round(6).tolist(),
        "spacing": [math.dist(scene.affine[:3, axis], (0, 0, 0)) for axis in range(3)],
        "levels": scene.levels.round(4).tolist(),
        "unit": scene.unit,
        "windows": scene.windows,
        "values": scene.values,
        "image": number(scene.image),
        "truth": number(scene.truth),
        "prediction": number(scene.prediction),
        "maps": [
            {
                "name": name,
                "shape": map_.values.shape,
                "low": map_.low,
                "high": map_.high,
                "flat": map_.flat,
                "volume": number(map_.values),
            }
            for name, map_ in scene.maps.items()
        ],
        "start": scene.start,
        "organs": organs,
    }
    return entry, volumes


def _organs(run: Run, scene: Scene) -> list[tuple[int, str]]:
    """Value and name of each label of the run, or of each label found if the run names none."""
    return list(run.labels.items()) or [(value, str(value)) for value in scene.values]


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
