"""Draws the pictures of README and docs from a demo, and brings their tables up to date: what ``make pictures`` runs.

python docs/make_pictures.py [--demo DIR]
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import picture_abdomen
import picture_classifiers
import picture_detection
import picture_detection_results
import picture_explain
import picture_foundations
import picture_lesions
import picture_mechanisms
import picture_nonlocal_c2d
import picture_ram
import picture_rates
import picture_report
import picture_ribs
import picture_sononet
import picture_subject2vec
import picture_tomograms
import tables
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from saccade.data.labels import label_colour
from saccade.data.orient import to_canonical
from saccade.data.synthetic import shortcut_scores
from saccade.data.volume import Volume, read_volume
from saccade.explain.render import Planes, case_figure, draw_contours, encode, grey_window, overlay, planes
from saccade.files import atomic, read_json
from saccade.study.demo import run_demo

IMAGES = Path(__file__).parent / "images"
WINDOW_HU = (-160.0, 240.0)
BODY_HU = -300.0
GATE = "gates_0_gates_0"  # the first gate at half the input's resolution


class HeldOut:
    """One held-out case of a demo's run, everything in canonical axes: scan, truth, prediction, attention maps."""

    def __init__(self, demo: Path) -> None:
        run = demo / "run"
        scores = json.loads((run / "validation" / "metrics.json").read_text())["cases"]
        means = {
            case: np.mean([s["dice"] for s in organs.values() if s["dice"] is not None])
            for case, organs in scores.items()
        }
        self.name = sorted(means, key=lambda case: means[case])[len(means) // 2]  # neither the best nor the worst
        found = run / "validation"
        self.scan = _canonical(demo / "abdomens" / "Training" / "img" / f"{self.name}.nii.gz")
        self.truth = _canonical(found / "truth" / f"{self.name}.nii.gz").array.astype(int)
        self.prediction = _canonical(found / f"{self.name}.nii.gz").array.astype(int)
        maps = sorted((found / "attention").glob(f"{self.name}_*.nii.gz"))
        self.maps = {path.name[len(self.name) + 1 : -len(".nii.gz")]: _canonical(path).array for path in maps}
        self.centre = self._centre()

    def _centre(self) -> tuple[int, int, int]:
        """Of the axial planes that cut the pancreas the one with the most organs, and in it the pancreas's middle."""
        cuts = np.flatnonzero((self.truth == picture_abdomen.PANCREAS).any((0, 1)))
        organs = np.array([len(np.unique(self.truth[..., k])) for k in cuts])
        best = cuts[organs == organs.max()]
        k = int(best[len(best) // 2])
        i, j = np.median(np.argwhere(self.truth[..., k] == picture_abdomen.PANCREAS), axis=0).astype(int)
        return int(i), int(j), k

    def cut(self, volume: np.ndarray) -> Planes:
        """The three planes of a volume of this case."""
        return planes(volume, self.centre)

    def axial(self, volume: np.ndarray) -> np.ndarray:
        """The axial plane of a volume, without the air around the body."""
        body = self.cut(self.scan.array).axial > BODY_HU
        rows, columns = (np.flatnonzero(body.any(axis)) for axis in (1, 0))
        return self.cut(volume).axial[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_readme(case: HeldOut) -> Figure:
    """Scan, organs, one gate, side by side."""
    figure, axes, extent = _row(case, 3)
    grey = grey_window(case.axial(case.scan.array), *WINDOW_HU)
    axes[0].imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    axes[1].imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    found = case.axial(case.prediction)
    colours = {int(value): label_colour(int(value)) for value in np.unique(found[found > 0])}
    shade = np.zeros((*found.shape, 4))
    for value, colour in colours.items():
        shade[found == value] = [*(part / 255 for part in colour), 0.45]
    axes[1].imshow(shade, extent=extent, interpolation="nearest")
    draw_contours(axes[1], found, case.scan.spacing_mm[1::-1], colours)
    axes[2].imshow(overlay(grey, case.axial(case.maps[GATE]), limits=(0.0, 1.0)), extent=extent)
    _colour_bar(figure)
    return figure


def draw_gates(case: HeldOut) -> Figure:
    """The scan and the coefficients of every gate over it."""
    figure, axes, extent = _row(case, 1 + len(case.maps))
    grey = grey_window(case.axial(case.scan.array), *WINDOW_HU)
    axes[0].imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    _name(axes[0], "scan")
    for place, (name, map_) in zip(axes[1:], case.maps.items(), strict=True):
        place.imshow(overlay(grey, case.axial(map_), limits=(0.0, 1.0)), extent=extent)
        _name(place, name)
    _colour_bar(figure)
    return figure


def draw_prediction(case: HeldOut) -> Figure:
    """Three planes with truth and prediction as contours."""
    values = np.unique([*np.unique(case.truth), *np.unique(case.prediction)])
    return case_figure(
        Planes(*(grey_window(cut, *WINDOW_HU) for cut in case.cut(case.scan.array))),
        case.scan.spacing_mm,
        truth=case.cut(case.truth),
        prediction=case.cut(case.prediction),
        colours={int(value): label_colour(int(value)) for value in values if value},
    )


def write_shortcuts(demo: Path) -> None:
    """What trivial methods score on the demo's data, beside the demo's network, into docs/data.md."""
    result: Mapping = read_json(demo / "metrics.json")
    cases = len(list((demo / "abdomens" / "Training" / "img").glob("*.nii.gz")))
    steps = read_json(demo / "run" / "summary.json")["steps"]
    scores = shortcut_scores(demo / "abdomens")
    text = tables.shortcuts_table(scores, result["summary"], cases=cases, unseen=len(result["cases"]), steps=steps)
    tables.between_markers(tables.ROOT / "docs" / "data.md", "shortcuts", text)


def _canonical(path: Path) -> Volume:
    return to_canonical(read_volume(path))


def _row(case: HeldOut, count: int) -> tuple[Figure, list, tuple[float, float, float, float]]:
    """A black figure with so many equal places for axial planes, and the plane's extent in mm."""
    rows, columns = case.axial(case.scan.array).shape
    height, width = rows * case.scan.spacing_mm[1], columns * case.scan.spacing_mm[0]
    bar, gap = 0.5, 0.05
    each = (12.0 - bar - gap * count) / count
    figure = Figure(figsize=(12.0, each * height / width), facecolor="black")
    axes = [figure.add_axes(((each + gap) * place / 12.0, 0, each / 12.0, 1)) for place in range(count)]
    for place in axes:
        place.axis("off")
    return figure, axes, (0.0, width, height, 0.0)


def _name(axes: matplotlib.axes.Axes, text: str) -> None:
    axes.text(0.5, 0.02, text, color="#e4e7eb", ha="center", va="bottom", transform=axes.transAxes, fontsize=9)


def _colour_bar(figure: Figure) -> None:
    place = figure.add_axes((0.965, 0.1, 0.01, 0.8))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "inferno"), cax=place, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    place.tick_params(colors="#c8ccd2", labelsize=8, length=2)


def _save(figure: Figure, name: str) -> None:
    with atomic(IMAGES / name) as temporary:
        temporary.write_bytes(encode(figure, dpi=100))


def main() -> None:
    """Read the options, make the demo if it is not there, draw and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of a finished demo; made if not there")
    options = parser.parse_args()
    if not (options.demo / "run" / "report.html").is_file():
        run_demo(options.demo, seed=0, seconds=170.0, say=print)
    case = HeldOut(options.demo)
    _save(draw_readme(case), "readme.png")
    _save(draw_gates(case), "attention-gate.png")
    _save(draw_prediction(case), "prediction.png")
    picture_abdomen.draw_abdomens(IMAGES / "abdomen.png", seed=0, cases=[2, 4, 6, 8], size="full")
    picture_report.draw_report(options.demo / "run")
    picture_rates.draw_range_test(options.demo / "abdomens", IMAGES / "learning-rate.png")
    picture_foundations.draw_all(IMAGES)
    picture_mechanisms.draw_mechanisms()
    picture_explain.draw_explaining(IMAGES / "explaining.png")
    picture_ram.draw_ram()
    picture_detection.draw_detection()
    picture_detection_results.draw_detection_results()
    picture_nonlocal_c2d.draw_nonlocal_c2d(IMAGES / "nonlocal-c2d.png")
    picture_classifiers.draw_classifiers()
    picture_sononet.draw_sononet()
    picture_lesions.draw_lesions()
    picture_ribs.draw_ribs(options.demo / "ribs")
    picture_subject2vec.draw_subject2vec(options.demo / "lungs")
    picture_tomograms.draw_tomograms(IMAGES / "tomograms.png")
    write_shortcuts(options.demo)
    tables.write_tables()
    tables.write_costs()


if __name__ == "__main__":
    main()
