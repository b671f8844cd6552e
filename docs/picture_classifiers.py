"""Draws docs/images/stn.png, learn-to-pay-attention.png and classification.png: what classifiers of digits looked at.

python docs/picture_classifiers.py [--runs DIR]

Without runs called stn and learn-to-pay-attention in DIR, they are trained there, a minute each, as for the evidence.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import saccade
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.digits_distorted import make
from saccade.explain.render import encode
from saccade.files import atomic
from saccade.report.illustration import Illustration
from saccade.systems import learn_to_pay_attention, stn
from saccade.tasks.classification.evaluate import score_table
from saccade.tasks.classification.rows import Table

IMAGES = Path(__file__).parent / "images"
RUNS = Path("runs/pictures")
TRAIN_CASES, TEST_CASES, TRAIN_SEED, TEST_SEED = 6000, 1000, 0, 1
SHOWN = (2, 3, 4, 5, 7)  # digits that look different upside down
# Of each system: the digits, and what its run differs in from the tiny preset.
PLAIN: dict[str, Any] = {"probability": 0, "noise": 0, "brightness": 0, "contrast": [1, 1]}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "stn": ("rts", {"training": {"epochs": 2, "steps_per_epoch": 200, "validate_every": 2, "batch_size": 64}}),
    "learn-to-pay-attention": (
        "easy",
        {
            "training": {"epochs": 4, "steps_per_epoch": 100, "validate_every": 4, "batch_size": 32},
            "network": {"channels": [16, 32, 64], "convolutions": [1, 1, 2]},
        },
    ),
}


def trained(runs: Path, system: str) -> tuple[Any, Path]:
    """A run of a system on distorted digits, and other digits that it has not seen."""
    kind, settings = RECIPES[system]
    test = runs / f"digits-{kind}-test"
    make(test, cases=TEST_CASES, seed=TEST_SEED, distortion=kind)
    if (runs / system / "summary.json").is_file():
        return saccade.load(runs / system), test
    train = runs / f"digits-{kind}-train"
    make(train, cases=TRAIN_CASES, seed=TRAIN_SEED, distortion=kind)
    training = {"keep": "last", "loggers": ["csv"], **settings["training"]}
    settings = {**settings, "training": training, "augmentation": PLAIN}
    return saccade.train(system, train, runs / system, preset="tiny", **settings), test


def show(axes: Axes, one: Illustration, title: str) -> None:
    """An illustration as the report shows it: its picture and the lines over it."""
    rows, columns = one.picture.shape[:2]
    axes.imshow(one.picture, cmap="gray", vmin=0, vmax=255, extent=(0, columns, rows, 0))
    for points, colour in re.findall(r'<polyline points="([^"]+)"[^>]* stroke="([^"]+)"', one.overlay):
        line = np.array([[float(value) for value in pair.split(",")] for pair in points.split()])
        axes.plot(*line.T, color=colour, linewidth=2.0 if colour == stn.OUTLINE else 0.8)
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def examples(predictor: Any, test: Path) -> list[tuple[str, torch.Tensor]]:
    """Of each digit shown the first unseen one, right or wrong: what was said, and the prepared image."""
    cases = {case.values[0]: case for case in reversed(find_image_dataset(test).cases)}
    found = []
    for digit in SHOWN:
        x = predictor.prepared(cases[str(digit)].source)[None]
        with torch.no_grad():
            said = predictor.names[int(predictor.network(x)[0].argmax())]
        found.append((f"a {digit}, told {said}", x))
    return found


def draw_transformer(predictor: Any, test: Path) -> Figure:
    """Above the digits with the sampling grid, below what the classifier sees."""
    figure = Figure(figsize=(2 * len(SHOWN), 4.4))
    axes = figure.subplots(2, len(SHOWN))
    for column, (title, x) in zip(axes.T, examples(predictor, test), strict=True):
        where, seen = stn.illustrate(predictor.network, x)
        show(column[0], where, title)
        show(column[1], seen, "what is handed on")
    figure.tight_layout(pad=0.4, h_pad=1.2)
    return figure


def draw_estimators(predictor: Any, test: Path) -> Figure:
    """In each row a digit among pieces of others, and the weights of the three estimators over it."""
    chosen = examples(predictor, test)[:3]
    figure = Figure(figsize=(8.4, 2.25 * len(chosen)))
    for row, (title, x) in zip(figure.subplots(len(chosen), 4), chosen, strict=True):
        image, *maps = learn_to_pay_attention.illustrate(predictor.network, x)
        show(row[0], image, title)
        for place, one in zip(row[1:], maps, strict=True):
            show(place, one, one.title)
    figure.tight_layout(pad=0.4, h_pad=1.2)
    return figure


def draw_scores(predictor: Any, test: Path) -> Figure:
    """Confusion, ROC and calibration of unseen digits, and below the eight with the largest loss."""
    dataset = find_image_dataset(test)
    rows = {case.id: values for case, values, _ in predictor.predict_cases(dataset.cases)}
    cases = {case.id: case for case in dataset.cases}
    result = score_table(Table("classes", predictor.names, rows), cases, dataset)
    figure = Figure(figsize=(11, 5.6))
    place = {"left": 0.05, "right": 0.98, "top": 0.94, "bottom": 0.02}
    upper, lower = figure.add_gridspec(2, 1, height_ratios=(2.6, 1), hspace=0.42, **place)
    confusion, roc, calibration = (figure.add_subplot(part) for part in upper.subgridspec(1, 3, wspace=0.3))
    _confusion(confusion, result["classes"], np.array(result["confusion"]))
    for name, points in result["roc"].items():
        roc.plot(*np.array(points).T, label=f"{name}: {result['per_class'][name]['auroc']:.3f}", linewidth=1)
    roc.set(title="ROC, each against the others", xlabel="false positive rate", ylabel="true positive rate")
    roc.legend(fontsize=6.5, title="AUROC", title_fontsize=7)
    found = [(part["confidence"], part["accuracy"]) for part in result["calibration"]]
    calibration.plot((0, 1), (0, 1), color="grey", linestyle=":")
    calibration.plot(*np.array(found).T, marker="o", markersize=3)
    calibration.set(title="Calibration", xlabel="said with this probability", ylabel="is right so often")
    worst = sorted(result["cases"], key=lambda id: -result["cases"][id]["loss"])[:8]
    for id, part in zip(worst, lower.subgridspec(1, len(worst)), strict=True):
        score, axes = result["cases"][id], figure.add_subplot(part)
        axes.imshow(predictor.prepared(cases[id].source)[0], cmap="gray")
        sure = max(score["probabilities"].values())
        axes.set_title(f"{score['truth']}, told {score['prediction']}\n({sure:.2f})", fontsize=8)
        axes.axis("off")
    return figure


def _confusion(axes: Axes, classes: Sequence[str], counts: np.ndarray) -> None:
    axes.imshow(counts / counts.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "white" if row == column else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=6.5, color=shade)
    places = range(len(classes))
    axes.set(title="Confusion", xlabel="told", ylabel="truth", xticks=places, yticks=places)
    axes.set_xticklabels(classes)
    axes.set_yticklabels(classes)


def draw_classifiers(runs: Path = RUNS) -> None:
    """Draw and write the three pictures."""
    transforming, rts = trained(runs, "stn")
    attending, easy = trained(runs, "learn-to-pay-attention")
    for name, figure in (
        ("stn.png", draw_transformer(transforming, rts)),
        ("learn-to-pay-attention.png", draw_estimators(attending, easy)),
        ("classification.png", draw_scores(transforming, rts)),
    ):
        with atomic(IMAGES / name) as temporary:
            temporary.write_bytes(encode(figure, dpi=100))


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs; what is not there is trained")
    draw_classifiers(parser.parse_args().runs)


if __name__ == "__main__":
    main()
