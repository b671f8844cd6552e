"""Draws docs/images/subject2vec.png and subject2vec-vectors.png: what a network saw in simulated lungs.

python docs/picture_subject2vec.py [--work DIR]

The network learns the diseased part of the lungs of some patients, in about two minutes; those shown are others.
"""

import argparse
import csv
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

import saccade
from saccade import explain
from saccade.data.synthetic import lungs
from saccade.data.volume import read_volume
from saccade.explain.render import encode, grey_window, overlay, planes
from saccade.files import atomic
from saccade.runs import train
from saccade.tasks.classification.output import find_inputs
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.vectors import vectors_of

IMAGES = Path(__file__).parent / "images"
SHOWN = 3
WINDOW_HU = (-1000.0, -600.0)
TRAIN, TEST = (128, 101), (100, 202)  # cases and seed
Planes = tuple[np.ndarray, ...]


def opened(work: Path) -> tuple[ClassificationPredictor, Path]:
    """A trained run and patients that it has not seen; made if they are not there."""
    data, unseen, run = work / "train", work / "test", work / "run"
    for folder, (cases, seed) in ((data, TRAIN), (unseen, TEST)):
        if not (folder / "lungs.csv").is_file():
            lungs.make(folder, cases=cases, seed=seed)
    if not (run / "summary.json").is_file():
        settings = {"epochs": 5, "batch_size": 2, "validate_every": 5, "keep": "last"}
        train("subject2vec", data, run, preset="tiny", network={"channels": [8, 16, 32]}, training=settings)
    predictor = saccade.load(run)
    assert isinstance(predictor, ClassificationPredictor)
    return predictor, unseen


def draw_patients(predictor: ClassificationPredictor, unseen: Path) -> Figure:
    """A row for each of some patients: the scan, the truth, the attention, what each patch adds to the extent."""
    with (unseen / "lungs.csv").open(newline="") as file:
        extents = {row["image"]: float(row["target_extent"]) for row in csv.DictReader(file)}
    wanted = (0.15, 0.35, 0.6)
    names = [min(extents, key=lambda name: abs(extents[name] - share)) for share in wanted]
    figure = Figure(figsize=(10.5, 2.55 * SHOWN + 0.3), facecolor="white")
    axes = figure.subplots(SHOWN, 4)
    for row, name in zip(axes, names, strict=True):
        scan, truth = (read_volume(unseen / folder / name).array for folder in ("images", "truth"))
        x = predictor.prepared(unseen / "images" / name)[None]
        middle = tuple(int(n) for n in np.median(np.argwhere(truth == 2), 0))
        grey = grey_window(_coronal(scan, middle), *WINDOW_HU)
        attention = explain.attention_maps(predictor.network, x)[0].numpy()
        parts = explain.hires_cam(predictor.network, x, target=0, layer="parts", resize=False)
        added = predictor.network.grid.paint(parts, x.shape[2:])[0].numpy()
        said = predictor.predict(unseen / "images" / name).values["target_extent"]
        _show(row[0], grey, f"said {said:.2f}")
        _show(row[1], overlay(grey, _coronal((truth == 2) * 1.0, middle), limits=(0, 1)), f"true {extents[name]:.2f}")
        there = attention[attention > 0]
        low, high = float(there.min()), float(there.max())
        shown = np.where(attention > 0, attention - low, np.nan)
        picture = overlay(grey, _coronal(shown, middle), limits=(0, high - low))
        _show(row[2], picture, f"attention, {low:.2f} to {high:.2f}")
        bound = float(np.abs(added).max())
        picture = overlay(grey, _coronal(added, middle), limits=(-bound, bound), colormap="RdBu_r")
        _show(row[3], picture, f"added to the extent, ±{bound * predictor.config.data.target_std[0]:.3f}")
    figure.tight_layout(pad=0.4)
    return figure


def draw_vectors(predictor: ClassificationPredictor, unseen: Path) -> Figure:
    """The vectors of all patients by t-SNE, coloured by the diseased part of their lungs."""
    cases = find_inputs([unseen])
    with (unseen / "lungs.csv").open(newline="") as file:
        extents = {row["image"].partition(".")[0]: float(row["target_extent"]) for row in csv.DictReader(file)}
    images = torch.stack([predictor.prepared(case.source) for case in cases])
    vectors = vectors_of(predictor, images).numpy()
    places = TSNE(perplexity=15, init="pca", random_state=0).fit_transform(vectors)
    figure = Figure(figsize=(5.2, 4.0), facecolor="white")
    axes = figure.subplots()
    colours = [extents[case.id] for case in cases]
    points = axes.scatter(*places.T, c=colours, cmap="viridis", s=34, edgecolors="#1f2933", linewidths=0.4)
    figure.colorbar(points, label="diseased part of the lungs")
    axes.set(xticks=[], yticks=[], title=f"Vectors of {len(cases)} unseen patients, t-SNE")
    figure.tight_layout()
    return figure


def _coronal(values: np.ndarray, centre: tuple[int, ...]) -> np.ndarray:
    i, j, k = centre
    return planes(values, (i, j, k)).coronal


def _show(place: Axes, picture: np.ndarray, title: str) -> None:
    place.imshow(picture, cmap=matplotlib.colormaps["gray"], vmin=0, vmax=1, interpolation="nearest")
    place.set_title(title, fontsize=9, color="#1f2933")
    place.axis("off")


def draw_subject2vec(work: Path) -> None:
    """Train if need be, draw and write both pictures."""
    predictor, unseen = opened(work)
    pictures = {"subject2vec.png": draw_patients, "subject2vec-vectors.png": draw_vectors}
    for name, draw in pictures.items():
        with atomic(IMAGES / name) as temporary:
            temporary.write_bytes(encode(draw(predictor, unseen), dpi=90))


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=Path("demo/lungs"), help="folder of data and run; made if not there"
    )
    draw_subject2vec(parser.parse_args().work)


if __name__ == "__main__":
    main()
