"""Draws docs/images/lesion-describer.png: simulated mammograms with what was found in them, in words.

python docs/picture_lesions.py [--run RUN]

Without a run of lesion-describer on such mammograms, one is trained in some five minutes, as for
`evidence/lesion-describer.json`.
"""

import argparse
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import saccade
from saccade.data.synthetic.mammograms import make, simulate_mammogram
from saccade.explain.render import encode
from saccade.files import atomic

PICTURE = Path(__file__).parent / "images" / "lesion-describer.png"
MAMMOGRAMS, TRAIN_SEED, TEST_SEED, SHOWN = 1500, 1, 2, 4
SURE = 0.5
TRAINING = {"batch_size": 16, "steps_per_epoch": 50, "epochs": 10, "validate_every": 10, "loggers": ["csv"]}


def trained(folder: Path) -> Any:
    """A run on mammograms that are made for it."""
    make(folder / "mammograms", cases=MAMMOGRAMS, seed=TRAIN_SEED)
    return saccade.train(
        "lesion-describer", folder / "mammograms", folder / "run", preset="tiny", folds=50, training=TRAINING
    )


def draw(predictor: Any) -> Figure:
    """The first mammograms of another seed with two lesions or more: dashed what is there, below it what is told."""
    cases = (simulate_mammogram(TEST_SEED, case) for case in range(100))
    chosen = [(image, objects) for image, _, objects in cases if len(objects) > 1][:SHOWN]
    figure = Figure(figsize=(13, 4.7), facecolor="white")
    for place, (image, objects) in zip(figure.subplots(1, SHOWN), chosen, strict=True):
        place.imshow(image, cmap="gray", extent=(0, image.shape[1], image.shape[0], 0), interpolation="bilinear")
        for item in objects:
            _outline(place, item.box, "#ffd54f", "--")
        said = predictor.predict(image)
        lines = []
        for number in np.flatnonzero(said.scores >= SURE):
            _outline(place, said.boxes[number], "#4dd0ff", "-")
            x1, y1, _, _ = said.boxes[number]
            place.text(x1 + 1, y1 - 2, str(number + 1), color="#4dd0ff", fontsize=11, weight="bold")
            sentence = f"{number + 1} ({said.scores[number]:.2f}). {said.more[number]['sentence']}"
            values = next((item.more for item in objects if _same(item.box, said.boxes[number])), None)
            lines += textwrap.wrap(sentence, 46, subsequent_indent="    ")
            lines.append(f"    {_judged(values, said.more[number])}")
        place.set_title("\n".join(lines), fontsize=8, loc="left", y=-0.03, pad=0, va="top")
        place.axis("off")
    figure.subplots_adjust(left=0.005, right=0.995, top=0.99, bottom=0.3, wspace=0.03)
    return figure


def _outline(place: Any, box: Any, colour: str, line: str) -> None:
    x1, y1, x2, y2 = box
    place.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=line, linewidth=1.5))


def _same(first: Any, second: Any) -> bool:
    shared = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return bool(shared >= 0.5 * (sum(areas) - shared))


def _judged(truth: Any, said: Any) -> str:
    if truth is None:
        return "[there is none]"
    wrong = [value for name, value in truth.items() if said[name] != value]
    return f"[it is {', '.join(wrong)}]" if wrong else "[right]"


def draw_lesions(run: Path | None = None) -> None:
    """Draw and write the picture, of a run or of one that is trained for it."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = saccade.load(run) if run else trained(Path(folder))
    with atomic(PICTURE) as temporary:
        temporary.write_bytes(encode(draw(predictor), dpi=90))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of lesion-describer on simulated mammograms")
    draw_lesions(parser.parse_args().run)
