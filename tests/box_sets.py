"""Small data sets of boxes, and detections in them, for the tests; `conftest.py` puts this on the path."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS, ROWS = 40, 30
Rows = list[tuple[str, float, list[float]]]  # name, score, box

# two pictures of two classes, one without objects
TRUTH: dict[str, list[tuple[str, list[float]]]] = {
    "a": [("red", [2, 3, 12, 11]), ("white", [20, 10, 36, 28])],
    "b": [("red", [5, 5, 15, 25])],
    "c": [],
}
# in a the white one and a false alarm, in b its object, less exactly in c an alarm
FOUND: dict[str, Rows] = {
    "a": [("white", 0.9, [20, 10, 36, 28]), ("red", 0.4, [25, 2, 33, 9])],
    "b": [("red", 0.8, [5, 5, 15, 22])],
    "c": [("white", 0.3, [1, 1, 9, 9])],
}


def make_table(root: Path, truth: Mapping[str, list[tuple[str, list[float]]]] = TRUTH) -> Path:
    """Pictures and a `boxes.csv`."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["image,x1,y1,x2,y2,class"]
    for number, (id, objects) in enumerate(truth.items()):
        pixels = np.random.default_rng(number).integers(60, 120, (ROWS, COLUMNS, 3), dtype=np.uint8)
        for _, box in objects:
            x1, y1, x2, y2 = map(int, box)
            pixels[y1:y2, x1:x2, 0] = 255
        Image.fromarray(pixels).save(root / f"{id}.png")
        lines += [f"{id}.png,{','.join(map(str, box))},{name}" for name, box in objects] or [f"{id}.png,,,,,"]
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def write_ours(path: Path, found: Mapping[str, Rows] = FOUND, classes: tuple[str, ...] = ("red", "white")) -> Path:
    """A `predictions.json`, written by hand."""
    scenes = {
        id: {
            "image": f"{id}.png",
            "size": [COLUMNS, ROWS],
            "objects": [{"name": name, "score": score, "box": box} for name, score, box in rows],
        }
        for id, rows in found.items()
    }
    content = {"format": "saccade-detections", "version": 1, "classes": list(classes), "scenes": scenes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
