"""Draws docs/images/abdomen.png: four simulated abdomens, the CT in three planes with their labels beside it."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from saccade.data.layout_labels import BTCV_LABELS
from saccade.data.orient import to_canonical
from saccade.data.synthetic import simulate_abdomen
from saccade.data.volume import Volume

WINDOW_HU = (-160, 260)
PANCREAS = 11


def draw_abdomens(path: Path, seed: int, cases: list[int], size: str) -> None:
    """Write a picture with a row for each case: the axial, coronal and sagittal plane through the pancreas, twice."""
    figure, axes = plt.subplots(len(cases), 6, figsize=(18, 3 * len(cases)), squeeze=False, facecolor="black")
    for row, case in zip(axes, cases, strict=True):
        image, label, affine = simulate_abdomen(seed, case, size)
        scan, organs = to_canonical(Volume(image, affine)), to_canonical(Volume(label, affine)).array
        middle = np.median(np.argwhere(organs == PANCREAS), axis=0).astype(int)
        for number, axis in enumerate((2, 1, 0)):
            first, second = (other for other in range(3) if other != axis)
            aspect = scan.spacing_mm[second] / scan.spacing_mm[first]
            plane, names = (np.take(array, middle[axis], axis).T for array in (scan.array, organs))
            for labelled in (0, 1):
                show(row[2 * number + labelled], plane, names if labelled else None, aspect)
                if axis != 0:
                    row[2 * number + labelled].invert_xaxis()  # the patient's right on the left, as radiologists look
    figure.tight_layout(pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=60)
    plt.close(figure)


def show(axes: plt.Axes, plane: np.ndarray, names: np.ndarray | None, aspect: float) -> None:
    """One plane in the abdominal window, with the organs in colour where given."""
    low, high = WINDOW_HU
    axes.imshow(plane, origin="lower", cmap="gray", vmin=low, vmax=high, aspect=aspect)
    axes.axis("off")
    if names is not None:
        organs = np.ma.masked_equal(names, 0)
        axes.imshow(
            organs,
            origin="lower",
            cmap="tab20",
            vmin=1,
            vmax=len(BTCV_LABELS),
            alpha=0.6,
            aspect=aspect,
            interpolation="nearest",
        )


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "abdomen.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 2, 4, 7])
    parser.add_argument("--size", default="full")
    options = parser.parse_args()
    draw_abdomens(options.out, options.seed, options.cases, options.size)


if __name__ == "__main__":
    main()
