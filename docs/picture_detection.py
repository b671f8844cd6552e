"""Draws docs/images/detection.png: what ssd finds in simulated pictures that it had not seen.

python docs/picture_detection.py [--run RUN]

Without a run of ssd on such pictures, one is trained in a few minutes.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import saccade
from saccade.data.labels import label_colour
from saccade.data.synthetic.box_shapes import CLASSES, make, simulate_shapes
from saccade.explain.render import encode
from saccade.files import atomic

PICTURE = Path(__file__).parent / "images" / "detection.png"
SCENES, TRAIN_SEED, TEST_SEED, SHOWN = 2000, 0, 1, 6
SURE = 0.3
TRAINING = {"batch_size": 16, "steps_per_epoch": 200, "epochs": 2, "learning_rate": 3e-3, "loggers": ["csv"]}


def trained(folder: Path) -> Any:
    """A run on pictures that are made for it."""
    make(folder / "shapes", cases=SCENES, seed=TRAIN_SEED)
    return saccade.train(
        "ssd",
        folder / "shapes",
        folder / "run",
        preset="tiny",
        folds=20,
        size=[56, 56],
        network={"channels": [8, 16, 32, 64]},
        training=TRAINING,
    )


def draw(predictor: Any) -> Figure:
    """The first pictures of another seed, with true boxes and those found."""
    figure = Figure(figsize=(2.1 * SHOWN, 2.2), facecolor="white")
    for case, axes in enumerate(figure.subplots(1, SHOWN)):
        pixels, objects = simulate_shapes(TEST_SEED, case)
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
        for item in objects:
            _box(axes, item.box, "white", 3.0)
        found = predictor.with_inference({"score": SURE}).predict(pixels)
        for box, name, score in zip(found.boxes, found.names, found.scores, strict=True):
            colour = tuple(part / 255 for part in label_colour(CLASSES.index(name) + 1))
            _box(axes, box, colour, 1.5)
            axes.text(box[0], max(7.0, box[1] - 2), f"{name} {score:.2f}", color=colour, fontsize=7, weight="bold")
    figure.tight_layout(pad=0.4)
    return figure


def _box(axes: Any, box: Any, colour: Any, width: float) -> None:
    x1, y1, x2, y2 = (value - 0.5 for value in box)  # matplotlib counts from the middle of the first pixel
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def draw_detection(run: Path | None = None) -> None:
    """Draw and write the picture, of a run or of one that is trained for it."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = saccade.load(run) if run else trained(Path(folder))
    with atomic(PICTURE) as temporary:
        temporary.write_bytes(encode(draw(predictor), dpi=80))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of ssd on `saccade data make shapes-boxes`")
    draw_detection(parser.parse_args().run)
