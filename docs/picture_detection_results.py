"""Draws docs/images/detection-results.png: errors of a detector as its report shows them, and what made it sure.

python docs/picture_detection_results.py [--run RUN]

Without a run of ssd on simulated shapes, one is trained in a few minutes.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import picture_detection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

import saccade
from saccade.data.detection.layouts import find_box_dataset
from saccade.explain.detection import DetectionExplainer
from saccade.explain.draw_boxes import FALSE_ALARM, FOUND, HIT, MISSED, Mark, draw_mark, judged_marks
from saccade.explain.picture import signed_scale
from saccade.explain.render import encode, overlay
from saccade.explain.runs import Request
from saccade.files import atomic, read_json
from saccade.tasks.detection.evaluate import at_least, found_of, shown_from, truth_of

PICTURE = Path(__file__).parent / "images" / "detection-results.png"
SHOWN = 6
METHODS = ("grad_cam", "layer_cam")


def worst(run: Path, predictor: Any) -> tuple[list[Any], float]:
    """Held-out pictures with the most errors in which something was found, and from what score on."""
    result = read_json(run / "validation" / "metrics.json")
    cases = {id: case for id, case in result["cases"].items() if case["hits"]}
    order = sorted(cases, key=lambda id: (-cases[id]["missed"] - cases[id]["false_positives"], id))
    dataset = find_box_dataset(predictor.config.data.root)
    return [dataset.scene(id) for id in order[:SHOWN]], shown_from(result["working_point"])


def draw(run: Path) -> Figure:
    """A column for each picture: its errors, then the surest detection by each method."""
    predictor = saccade.load(run)
    scenes, least = worst(run, predictor)
    explainer = DetectionExplainer(predictor)
    figure = Figure(figsize=(2.1 * SHOWN, 2.2 * (1 + len(METHODS))), facecolor="white")
    for scene, (errors, *others) in zip(scenes, figure.subplots(1 + len(METHODS), SHOWN).T, strict=True):
        found = at_least(found_of(predictor.predict(scene.image), 4, scene.id), least)
        explanations = [next(explainer.explain(scene, [], Request(method))) for method in METHODS]
        grey = explanations[0].scan.array[..., 0] / 255
        extent = (0, grey.shape[1], grey.shape[0], 0)
        errors.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
        for mark in reversed(judged_marks(found, truth_of(scene, 4))):
            draw_mark(errors, mark)
        for axes, one in zip(others, explanations, strict=True):
            values = one.map.array[..., 0]
            scale = signed_scale(values)
            axes.imshow(overlay(grey, values, limits=scale.limits, colormap=scale.colormap), extent=extent)
            draw_mark(axes, Mark(one.found.box, HIT, ""))
            words = f"{one.target.split()[0]} {one.said:.2f}"
            axes.text(
                2,
                2,
                words,
                fontsize=8,
                color="white",
                va="top",
                path_effects=[withStroke(linewidth=2, foreground="black")],
            )
        for axes, words in zip((errors, *others), ("errors", *METHODS), strict=True):
            axes.set(xlim=(0, grey.shape[1]), ylim=(grey.shape[0], 0), xticks=[], yticks=[])
            if scene is scenes[0]:
                axes.set_ylabel(words, fontsize=9)
    lines = [
        Line2D([], [], color=style.colour, linewidth=2, linestyle=(0, style.dashes) if style.dashes else "solid")
        for style in (HIT, FALSE_ALARM, MISSED, FOUND)
    ]
    words = ["hit", "false alarm", "missed", "true box of a hit"]
    legend = figure.legend(lines, words, loc="upper center", ncols=4, fontsize=9, facecolor="#1c2430", labelcolor="w")
    legend.get_frame().set_edgecolor("none")
    figure.tight_layout(pad=0.4, rect=(0, 0, 1, 0.95))
    return figure


def draw_detection_results(run: Path | None = None) -> None:
    """Draw and write the picture, of a run or of one that is trained for it."""
    with tempfile.TemporaryDirectory() as folder:
        if run is None:
            picture_detection.trained(Path(folder))
        with atomic(PICTURE) as temporary:
            temporary.write_bytes(encode(draw(run or Path(folder) / "run"), dpi=80))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of ssd on `saccade data make shapes-boxes`")
    draw_detection_results(parser.parse_args().run)
