"""Draws docs/images/nonlocal-c2d.png: where a trained `nonlocal-c2d` looks in two videos that it has not seen.

python docs/picture_nonlocal_c2d.py [--work DIR]

It learns from simulated videos for a minute or two; with --work, a folder that is kept, only once.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import saccade
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.moving_shapes import make
from saccade.explain.render import encode
from saccade.files import atomic
from saccade.systems import nonlocal_c2d
from saccade.systems.pictures import picture_of, window_of
from saccade.systems.video_sheet import ARROW, START, Sheet
from saccade.tasks.classification.predictor import ClassificationPredictor

CASES, EPOCHS, STEPS = 6000, 4, 250
BLOCK = "layer2.0_attention"


def trained(work: Path) -> ClassificationPredictor:
    """The network of a run in ``work``, made if it is not there."""
    if not (work / "run" / "summary.json").is_file():
        make(work / "train", cases=CASES, seed=0)
        training = {"epochs": EPOCHS, "steps_per_epoch": STEPS}
        light = {"brightness": 0.0, "contrast": [1.0, 1.0]}
        saccade.train(
            "nonlocal-c2d", work / "train", work / "run", preset="tiny", training=training, augmentation=light
        )
    predictor = saccade.load(work / "run")
    assert isinstance(predictor, ClassificationPredictor)
    return predictor


def draw(work: Path) -> Figure:
    """The most confident right answer to a video of each class, class 1 on the left."""
    predictor = trained(work)
    make(work / "unseen", cases=60, seed=1)
    best: dict[str, tuple[float, Tensor]] = {}
    for case in find_image_dataset(work / "unseen").cases:
        x, name = predictor.prepared(case.source)[None], case.values[0]
        sure = predictor.values(x)[0, predictor.names.index(name)].item()
        if name not in best or sure > best[name][0]:
            best[name] = sure, x
    figure = Figure(figsize=(9.6, 5), layout="constrained")
    for axes, (name, (sure, x)) in zip(figure.subplots(1, 2), sorted(best.items(), reverse=True), strict=True):
        _draw_video(axes, predictor, x)
        axes.set_title(f"class {name}, told with probability {sure:.2f}", fontsize=10)
    return figure


def _draw_video(axes: Axes, predictor: ClassificationPredictor, x: Tensor) -> None:
    network = predictor.network
    start, ends, weights = nonlocal_c2d.strongest(network, network.get_submodule(BLOCK), x)
    window = window_of(x[0])
    frames = [picture_of(x[0, :, t], window=window) for t in range(x.shape[2])]
    sheet = Sheet(len(frames), *frames[0].shape)
    axes.imshow(sheet.paste(frames), cmap="gray", extent=(0, *sheet.size[::-1], 0), vmin=0, vmax=255)
    axes.axis("off")
    origin = sheet.place(start)
    for end, weight in zip(sheet.place(ends), weights / np.abs(weights).max(), strict=True):
        style = {"arrowstyle": "-|>", "color": ARROW, "alpha": 0.35 + 0.6 * abs(weight), "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=tuple(end), xytext=tuple(origin), arrowprops=style)
    axes.plot(*origin, "o", color=START, markersize=7)


def main() -> None:
    """Read the options, train and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the data and the run go, and are found again")
    options = parser.parse_args()
    draw_nonlocal_c2d(Path(__file__).parent / "images" / "nonlocal-c2d.png", options.work)


def draw_nonlocal_c2d(path: Path, work: Path | None = None) -> None:
    """Train if there is no run in ``work`` yet, draw and write the picture."""
    with tempfile.TemporaryDirectory() as folder, atomic(path) as temporary:
        temporary.write_bytes(encode(draw(work or Path(folder)), dpi=90))


if __name__ == "__main__":
    main()
