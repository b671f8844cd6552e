"""Draws docs/images/tomograms.png: simulated subtomograms.

python docs/picture_tomograms.py
"""

from pathlib import Path

from matplotlib.figure import Figure

from saccade.data.synthetic.tomograms import PARTICLES, simulate_tomogram
from saccade.explain.render import encode
from saccade.files import atomic

IMAGES = Path(__file__).parent / "images"
RATIOS = (float("inf"), 1.0, 0.1)
VOXELS = 32


def draw_tomograms(path: Path) -> None:
    """A column for each particle; the first row shows the whole of it, projected, the others its middle slice."""
    figure = Figure(figsize=(9, 6.2), facecolor="white")
    axes = figure.subplots(1 + len(RATIOS), len(PARTICLES))
    for column, name in enumerate(PARTICLES):
        for row, snr in enumerate((RATIOS[0], *RATIOS)):
            image = simulate_tomogram(3, column, name, snr=snr, voxels=VOXELS).image
            shown = image.sum(2) if row == 0 else image[:, :, VOXELS // 2]
            axes[row, column].imshow(shown, cmap="gray")
            axes[row, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(name, fontsize=10)
    labels = ("projected", "no noise", *(f"SNR {snr:g}" for snr in RATIOS[1:]))
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(label, fontsize=10)
    figure.tight_layout(pad=0.4)
    with atomic(path) as temporary:
        temporary.write_bytes(encode(figure, dpi=90))


def main() -> None:
    """Draw it."""
    draw_tomograms(IMAGES / "tomograms.png")


if __name__ == "__main__":
    main()
