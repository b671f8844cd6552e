"""Held-out images with what was there and what was found, the most errors first."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image as Pillow

from saccade.data.detection.case import Scene
from saccade.data.detection.layouts import scan_box_dataset
from saccade.errors import InputError, SaccadeError
from saccade.explain.draw_boxes import Mark, Panel, judged_marks, panels_of, svg_boxes
from saccade.files import read_json
from saccade.metrics.inputs import Real
from saccade.report.gather import as_mapping
from saccade.report.target_gallery import data_uri, scaled
from saccade.systems import find_implementation
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import PreparedScenes
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.evaluate import at_least, found_of, shown_from, truth_of
from saccade.tasks.detection.files import FILE, from_json

LARGEST = 378  # pixels of a picture's longer side
FINEST = 2 * LARGEST  # pixels kept of it, for fine screens
TOLD = 4  # detections whose further words are written out


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Attributes:
        source: As a data URI.
        columns, rows: The extent of the overlay's coordinates.
        width, height: On the page, in its pixels.
        overlay: The boxes.
        title: Of a slice.
    """

    source: str
    columns: Real
    rows: Real
    width: int
    height: int
    overlay: Markup
    title: str


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
        case: Its id.
        panels: The picture, or slices of the volume; none if it is gone.
        errors: Missed objects and false alarms.
        said: In words.
        more: What else was said of the surest detections.
    """

    case: str
    panels: list[Shown]
    errors: int
    said: str
    more: list[str]


def draw_gallery(
    run: Path, config: Mapping[str, Any], result: Mapping[str, Any], shown: int, notices: list[str]
) -> list[Card]:
    """Cards of the images with the most errors.

    Args:
        run: The run's folder.
        config: Its ``config.yaml``.
        result: Its scores.
        shown: How many.
        notices: Gets a line for what cannot be shown.
    """
    counts = as_mapping(result.get("cases"))
    errors = {id: count["missed"] + count["false_positives"] for id, count in counts.items()}
    worst = sorted(counts, key=lambda id: (-errors[id], id))[:shown]
    least = shown_from(result["working_point"])
    scenes = _scenes(config, notices) if worst else {}
    found = _found(run, notices) if worst else {}
    cards, gone = [], []
    for id in worst:
        panels: list[Shown] = []
        more: list[str] = []
        if id in scenes and id in found:
            try:
                panels, more = _draw(_wanted(scenes[id], config), found[id], least)
            except (InputError, OSError):
                gone.append(id)
        elif scenes and found:
            gone.append(id)
        cards.append(Card(id, panels, errors[id], _words(counts[id]), more))
    if gone:
        others = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        notices.append(f"The image is not to be found or read for: {', '.join(gone[:5])}{others}.")
    return cards


def _scenes(config: Mapping[str, Any], notices: list[str]) -> dict[str, Scene]:
    """The images of the data set; if it is gone none, and a notice says why."""
    root = str(as_mapping(config.get("data")).get("root", ""))
    try:
        return {scene.id: scene for scene in scan_box_dataset(root).scenes}
    except (SaccadeError, OSError) as error:
        notices.append(f"Images: {error}")
        return {}


def _wanted(scene: Scene, config: Mapping[str, Any]) -> Scene:
    """The image with what the system was to find in it."""
    system = find_implementation(str(config["system"]), as_mapping(config.get("network")), "detection")
    if not hasattr(system, "simplify"):
        return scene
    return PreparedScenes([scene], DetectionConfig.parse(dict(config), "report")).scene(0, system)


def _found(run: Path, notices: list[str]) -> dict[str, Detections]:
    path = run / "validation" / FILE
    try:
        scenes = as_mapping(as_mapping(read_json(path)).get("scenes"))
        return {id: from_json(scene, f"{path}: {id}") for id, scene in scenes.items()}
    except InputError as error:
        notices.append(f"Images: {error}")
        return {}


def _draw(scene: Scene, said: Detections, least: float) -> tuple[list[Shown], list[str]]:
    dims = next((len(item.box) for item in scene.objects), said.boxes.shape[1] if len(said) else 4)
    found = at_least(found_of(said, dims, scene.id), least)
    marks: list[Mark] = judged_marks(found, truth_of(scene, dims))
    words = [
        f"{name} {score:.2f}: {'; '.join(f'{key} {text}' for key, text in more.items())}"
        for name, score, more in zip(said.names, said.scores.tolist(), said.more, strict=False)
        if score >= least
    ]
    return [_shown(panel) for panel in panels_of(scene.image, marks)], words[:TOLD]


def _shown(panel: Panel) -> Shown:
    rows, columns = panel.levels.shape[:2]
    high = rows * panel.aspect
    longer = max(columns, high)
    width, height = scaled(columns, round(high), LARGEST / longer)
    made = Pillow.fromarray((panel.levels * 255).round().astype(np.uint8))
    fine = min(FINEST / longer, 1.0) if longer > LARGEST else max(1.0, LARGEST / longer)
    way = Pillow.Resampling.LANCZOS if fine < 1 else Pillow.Resampling.NEAREST
    made = made.resize(scaled(columns, round(high), fine), way)
    content = io.BytesIO()
    made.save(content, "JPEG", quality=88)
    square = Panel(panel.levels, tuple(_stretched(mark, panel.aspect) for mark in panel.marks))
    overlay = svg_boxes(square, width)
    return Shown(data_uri(content, "jpeg"), columns, high, width, height, overlay, panel.title)


def _stretched(mark: Mark, aspect: float) -> Mark:
    x1, y1, x2, y2 = mark.box
    return Mark((x1, y1 * aspect, x2, y2 * aspect), mark.style, mark.label)


def _words(count: Mapping[str, int]) -> str:
    parts = [f"{count['hits']} of {count['objects']} objects found"]
    if count["missed"]:
        parts.append(f"{count['missed']} missed")
    if count["false_positives"]:
        parts.append(f"{count['false_positives']} false alarm{'s' if count['false_positives'] > 1 else ''}")
    return ", ".join(parts)
