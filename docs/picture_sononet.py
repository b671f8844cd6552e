"""Draws docs/images/ag-sononet.jpg: what AG-SonoNet looked at in simulated planes that it had not seen.

python docs/picture_sononet.py [--run RUN]

Without a run of ag-sononet on such planes, one is trained in two minutes, as for `evidence/ag-sononet.json`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import saccade
from saccade.data.classification.read import Image
from saccade.data.synthetic.ultrasound import make, simulate_plane
from saccade.explain.classification import to_image
from saccade.explain.render import encode, overlay
from saccade.files import atomic

PICTURE = Path(__file__).parent / "images" / "ag-sononet.jpg"
PLANES, TRAIN_SEED, TEST_SEED, ROWS = 1200, 1, 2, 3
TRAINING = {"batch_size": 32, "steps_per_epoch": 25, "epochs": 24, "validate_every": 4, "loggers": ["csv"]}


def trained(folder: Path) -> Any:
    """A run on planes that are made for it."""
    make(folder / "planes", cases=PLANES, seed=TRAIN_SEED)
    return saccade.train(
        "ag-sononet",
        folder / "planes",
        folder / "run",
        preset="tiny",
        folds=20,
        data={"size": [48, 64]},
        augmentation={"flip_axes": [0, 1]},
        training=TRAINING,
    )


def draw(predictor: Any) -> Figure:
    """A row for each of the first planes of another seed that show something: the plane, then the paper's four maps."""
    planes = [simulate_plane(TEST_SEED, case) for case in range(2 * ROWS + 2)]
    figure = Figure(figsize=(12.5, 2.1 * ROWS), facecolor="white")
    axes = figure.subplots(ROWS, 5, squeeze=False)
    network, data = predictor.network, predictor.config.data
    for row, (image, mask, kind) in zip(axes, [plane for plane in planes if plane[1].any()][:ROWS], strict=True):
        x = predictor.prepared(image)[None]
        with torch.no_grad():
            said = int(network(x)[0].argmax())
        _show(row[0], np.repeat(image[..., None] / 255, 3, -1), mask, f"{kind}: told {data.classes[said]}")
        for place, (name, map_) in zip(row[1:], network.localise(x, said).items(), strict=True):
            wide = to_image(map_[0, 0], Image(image[..., None], None), data.size, data.fit).numpy()
            _show(place, overlay(image / 255, wide, limits=(0.0, 1.0)), mask, name)
    figure.tight_layout(pad=0.3)
    return figure


def _show(place: Axes, picture: np.ndarray, mask: np.ndarray, title: str) -> None:
    place.imshow(picture)
    place.contour(mask, levels=[0.5], colors="#4dd0ff", linewidths=1.0)
    place.set_title(title, fontsize=9)
    place.axis("off")


def draw_sononet(run: Path | None = None) -> None:
    """Draw and write the picture, of a run or of one that is trained for it."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = saccade.load(run) if run else trained(Path(folder))
    with atomic(PICTURE) as temporary:
        temporary.write_bytes(encode(draw(predictor), kind="jpeg", dpi=80))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of ag-sononet on simulated planes")
    draw_sononet(parser.parse_args().run)
