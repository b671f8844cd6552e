"""Draws docs/images/rib-crf.png: ribs of unseen chest radiographs, found without a CRF, with one, and with its refine.

python docs/picture_ribs.py [FOLDER]

FOLDER keeps the data and the run; a network is trained for a few minutes if none is there.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import saccade
from saccade.data.landmarks.case import LandmarkCase
from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.data.synthetic.chest import make
from saccade.explain.draw_points import TRUTH, WRONG, show, views_of
from saccade.explain.render import encode
from saccade.files import atomic
from saccade.metrics.landmarks import on_line
from saccade.tasks.landmarks.predictor import Landmarks, LandmarksPredictor

TRAIN, TEST, SHOWN = 300, 40, 2
SECONDS = 150.0
WAYS = {"none": "hottest pixel", "map": "CRF without refine", "refine": "CRF with refine"}
COLOURS = {"maximum": "#4fc3f7", "hypothesis": "#4fc3f7", "refined": "#ffb74d"}


def trained(folder: Path) -> LandmarksPredictor:
    """The network of a folder, trained if it is not there."""
    for name, cases, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        if not (folder / name / "points.csv").is_file():
            make(folder / name, cases=cases, seed=seed)
    run = folder / "run"
    if not (run / "summary.json").is_file():
        settings = {"batch_size": 4, "steps_per_epoch": 100, "validate_every": 5, "max_seconds": SECONDS}
        saccade.train("rib-crf", folder / "train", run, preset="tiny", **settings)
    predictor = saccade.load(run)
    assert isinstance(predictor, LandmarksPredictor)
    return predictor


def right(case: LandmarkCase, found: Landmarks) -> dict[str, bool]:
    """Of each landmark that is there whether it was found."""
    said, good = found.as_dict(), {}
    for name, truth in case.points.items():
        line = case.lines[name]
        vertices = np.array(line.vertices)
        good[name] = name in said and on_line(np.array(said[name]), np.array(truth), vertices, line.half_width)
    return good


def draw(place, case: LandmarkCase, found: Landmarks, title: str) -> None:  # type: ignore[no-untyped-def]
    """An image, its true landmarks as circles, what was found as crosses."""
    ((grey, extent, _),) = views_of(case.source)
    show(place, grey, extent)
    good = right(case, found)
    for name, label in zip(found.names, found.labels, strict=True):
        truth, said = case.points.get(name), found.as_dict().get(name)
        if truth is not None:
            place.plot(*truth, "o", color=TRUTH, markersize=8, fillstyle="none")
        if said is not None and truth is not None:
            colour = COLOURS[label.split()[0]] if good[name] else WRONG
            place.plot(*said, "+", color=colour, markersize=8, markeredgewidth=1.8)
            if not good[name]:
                place.plot(*zip(truth, said, strict=True), color=WRONG, linewidth=1)
    place.set_title(f"{title}: {sum(good.values())} of {len(good)}", color="#e4e7eb", fontsize=10)


def draw_ribs(folder: Path, out: Path = Path(__file__).parent / "images") -> None:
    """Train if need be, choose images in which the refine label mends most, and draw."""
    predictor = trained(folder)
    cases = find_landmark_dataset(folder / "test").labelled()
    ways = {how: predictor.with_inference({"crf": how}) for how in WAYS}
    found = {how: list(one.predict_all([case.source for case in cases])) for how, one in ways.items()}
    counts = {
        how: [sum(right(case, one).values()) for case, one in zip(cases, every, strict=True)]
        for how, every in found.items()
    }
    print({how: sum(numbers) for how, numbers in counts.items()}, "of", sum(len(case.points) for case in cases))
    gain = [b - a for a, b in zip(counts["none"], counts["refine"], strict=True)]
    chosen = sorted(range(len(cases)), key=lambda n: -gain[n])[:SHOWN]
    figure = Figure(figsize=(4 * len(WAYS), 4.2 * SHOWN), facecolor="black", layout="constrained")
    axes = figure.subplots(SHOWN, len(WAYS))
    for row, number in zip(axes, chosen, strict=True):
        for place, (how, title) in zip(row, WAYS.items(), strict=True):
            draw(place, cases[number], found[how][number], title)
    with atomic(out / "rib-crf.png") as temporary:
        temporary.write_bytes(encode(figure, dpi=80))


if __name__ == "__main__":
    draw_ribs(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo/ribs"))
