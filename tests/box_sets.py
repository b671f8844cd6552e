"""Small data sets of boxes, and detections in them, for the tests; `conftest.py` puts this on the path."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
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


def make_run(folder: Path, data: Path, found: Mapping[str, Rows] = FOUND) -> Path:
    """What `saccade train` leaves of a detector that found these in its held-out images, which are all of them."""
    from saccade.data.detection.layouts import find_box_dataset
    from saccade.files import write_json
    from saccade.tasks.detection.config import DetectionConfig
    from saccade.tasks.detection.evaluate import score_scenes
    from saccade.tasks.detection.files import from_json

    dataset = find_box_dataset(data)
    size = (16,) * dataset.dims
    values = {"root": str(data), "classes": list(dataset.names), "size": size, "intensity": {"kind": "z_score"}}
    config = DetectionConfig.parse({"system": "ssd", "network": {"head": "anchors"}, "data": values}, "ssd")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    path = write_ours(folder / "validation/predictions.json", found, dataset.names)
    said = {id: from_json(scene, id) for id, scene in json.loads(path.read_text())["scenes"].items()}
    write_json(folder / "validation/metrics.json", score_scenes(said, dataset.scenes, dataset.names))
    (folder / "metrics.csv").write_text("epoch,loss,val_loss,val_ap50\n0,2.5,2.7,0.1\n1,1.5,1.9,0.5\n")
    return folder
