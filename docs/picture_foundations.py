"""Draws docs/images/foundations-*.png with the code that stands on the pages of docs/foundations.

python docs/picture_foundations.py [--only NAME]
"""

import argparse
import contextlib
import io
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch.nn import functional as F

from saccade.data.orient import to_canonical
from saccade.data.synthetic import simulate_abdomen
from saccade.data.volume import Volume
from saccade.explain.render import encode, grey_window, overlay, planes
from saccade.files import atomic

DOCS = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY = "#2f6db5", "#d9730d", "#3a8f4d", "#8a9099"
WAYS = {"full": GREEN, "attention": ORANGE, "convolution": BLUE}
WINDOW_HU, BODY_HU = (-160.0, 240.0), -300.0
Page = dict[str, Any]  # what the names on a page stand for when its Python blocks have run


@cache
def run_page(name: str) -> Page:
    """Run the Python blocks of a page of the foundations, in order, and give what they define."""
    text = (DOCS / "foundations" / f"{name}.md").read_text(encoding="utf-8")
    names: Page = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            exec(compile(block, name, "exec"), names)
    return names


def axial(size: str) -> np.ndarray:
    """An axial slice of a simulated abdomen as grey levels in 0..1, as radiologists look at it, cut to the body.

    Args:
        size: ``small`` is simulated in a second, ``full`` has the voxels of a CT.
    """
    image, _, affine = simulate_abdomen(seed=0, case=2, size=size)
    scan = to_canonical(Volume(image, affine)).array
    i, j, k = (length // 2 for length in scan.shape)
    cut = planes(scan, (i, j, k)).axial
    rows, columns = (np.flatnonzero((cut > BODY_HU).any(axis)) for axis in (1, 0))
    return grey_window(cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], *WINDOW_HU)


def draw_convolution(scan: np.ndarray) -> Figure:
    """A scan, its edges, the edges of the moved scan, and what moving last differs in."""
    x, shift = torch.from_numpy(scan)[None, None], run_page("convolution")["shift"]
    rise = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=x.dtype)
    kernels = torch.stack([rise, rise.T])[:, None]

    def edges(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernels, padding=1).norm(dim=1)[0]

    by = (scan.shape[0] // 3, scan.shape[1] // 3)
    still, first, last = edges(x), edges(shift(x, *by)), shift(edges(x), *by)
    most = float(still.quantile(0.995))
    figure, axes = _panels(1, 4, height=_height(scan.shape, 4))
    for place, picture, bright, name in zip(
        axes, (scan, still, first), (1.0, most, most), ("scan", "its edges", "edges of the moved scan"), strict=False
    ):
        place.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=bright)
        _frame(place, name)
    differ = ((first - last).abs() > most / 100).to(x.dtype)[None]
    axes[3].imshow(
        F.max_pool2d(differ, 5, stride=1, padding=2)[0].numpy(), cmap="Oranges", vmin=0, vmax=1.4
    )  # lines to be seen
    _frame(axes[3], "not the moved edges")
    return figure


def draw_cost() -> Figure:
    """The matrices of two layers, and what three layers cost against the number of positions."""
    page = run_page("cost")
    figure = Figure(figsize=(10, 3.2))
    for column, (name, layer) in enumerate(page["layers"].items()):
        place = figure.add_axes((0.01 + 0.25 * column, 0.06, 0.23, 0.82))
        matrix = page["matrix_of"](layer, 24)
        bound = float(matrix.abs().max())
        shown = np.ma.masked_equal(matrix.numpy(), 0)  # no connection shows the ground
        place.set_facecolor("#e8eaed")
        place.imshow(shown, cmap="PuOr", vmin=-bound, vmax=bound)
        _frame(place, "full connection" if name == "full" else name)
    sides = [4, 8, 16, 32, 64, 128, 256]
    chart = figure.add_axes((0.57, 0.17, 0.415, 0.71))
    for name, colour in WAYS.items():
        counted = [page["costs"](side)[name][1] for side in sides]
        chart.plot(
            [side**2 for side in sides],
            counted,
            color=colour,
            marker="o",
            label="full connection" if name == "full" else name,
        )
    chart.set(xscale="log", yscale="log", xlabel="positions N", title="multiplications")
    chart.legend(frameon=False, fontsize=9, labelcolor="linecolor", loc="upper left")
    _quiet(chart)
    return figure


def draw_pooling(scan: np.ndarray) -> Figure:
    """A scan pooled ever more coarsely, by its largest and by its mean value."""
    x = torch.from_numpy(scan)[None, None]
    figure, axes = _panels(2, 4, height=2 * _height(scan.shape, 4))
    for row, (name, pooling) in enumerate([("max", F.max_pool2d), ("mean", F.avg_pool2d)]):
        for place, size in zip(axes[4 * row : 4 * row + 4], (1, 2, 4, 8), strict=True):
            place.imshow(pooling(x, size)[0, 0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            _frame(place, "scan" if size == 1 else f"{name} of {size} x {size}")
    return figure


def draw_transposed(scan: np.ndarray) -> Figure:
    """A coarse slice on a grid twice as fine: kernels of ones of size 3 and 4, and interpolation; parts enlarged."""
    coarse = F.avg_pool2d(torch.from_numpy(scan)[None, None], 4)
    ones = {size: torch.ones(1, 1, size, size, dtype=coarse.dtype) for size in (3, 4)}
    doubled = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    finer = {
        "coarse": coarse,
        "kernel 3, step 2": F.conv_transpose2d(coarse, ones[3], stride=2, padding=1, output_padding=1) * 4 / 9,
        "kernel 4, step 2": F.conv_transpose2d(coarse, ones[4], stride=2, padding=1) / 4,
        "interpolated, then kernel 3": F.conv2d(doubled, ones[3], padding=1) / 9,
    }
    figure, axes = _panels(2, 4, height=_height(coarse.shape[2:], 4) + 2.5)
    rows, columns = coarse.shape[2:]
    for column, (name, picture) in enumerate(finer.items()):
        scale = picture.shape[2] // rows
        corner = [size * scale // 3 for size in (rows, columns)]
        side = min(rows, columns) * scale // 3
        axes[column].imshow(picture[0, 0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        square = Rectangle((corner[1] - 0.5, corner[0] - 0.5), side, side, fill=False, color=ORANGE, lw=1.5)
        axes[column].add_patch(square)
        part = picture[0, 0, corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        axes[4 + column].imshow(part.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        _frame(axes[column], name)
        _frame(axes[4 + column], "")
    return figure


def draw_receptive() -> Figure:
    """The traced fields of the page's networks, and the square that holds nine tenths of each."""
    page = run_page("receptive-fields")
    figure, axes = _panels(1, len(page["fields"]), height=2.5)
    for place, (name, field) in zip(axes, page["fields"].items(), strict=True):
        most = float(field.max())
        place.set_facecolor("black")
        place.imshow(np.ma.masked_equal(field.numpy(), 0), cmap="inferno", norm=LogNorm(most * 1e-6, most))
        rows, columns = page["core"](field)
        start, size = (columns.start - 0.5, rows.start - 0.5), len(field[rows])
        place.add_patch(Rectangle(start, size, size, fill=False, color="#5bd1ff", lw=1.2))
        _frame(place, f"{name}\n{page['width'](field)} wide")
    return figure


def draw_influence() -> Figure:
    """What moves what, by three layers, for two inputs."""
    page = run_page("who-sees-what")
    figure, axes = _panels(2, 3, width=8, height=5.4)
    for column, (name, way) in enumerate(page["ways"].items()):
        both = [page["influence"](way, x).numpy() for x in (page["one"], page["other"])]
        for row, seen in enumerate(both):
            place = axes[3 * row + column]
            place.imshow(seen, cmap="inferno", vmin=0)
            _frame(place, name if row == 0 else "")
            if column == 0:
                place.set_ylabel(["one input", "another input"][row])
    return figure


def draw_soft_hard() -> Figure:
    """Weights and draws; estimates of a gradient with and without baseline; the error against the number of draws."""
    page = run_page("soft-and-hard")
    figure = Figure(figsize=(10, 3.2))
    bars, spread, error = (figure.add_axes((left, 0.16, 0.27, 0.72)) for left in (0.05, 0.38, 0.72))
    alpha, exact = page["alpha"].detach().numpy(), float(page["hard_gradient"][0])
    drawn = torch.multinomial(page["alpha"].detach(), 200, replacement=True, generator=torch.Generator().manual_seed(0))
    places = np.arange(len(alpha))
    bars.bar(places - 0.2, alpha, 0.38, color=BLUE, label="weight")
    bars.bar(places + 0.2, np.bincount(drawn, minlength=len(alpha)) / 200, 0.38, color=ORANGE, label="of 200 draws")
    bars.set_xticks(places, [f"value {value:g}" for value in page["values"]])
    bars.set_title("four places")
    bars.legend(frameon=False, fontsize=9)
    counts = [1, 4, 16, 64, 256, 1024]
    for baseline, name, colour in [(0.0, "no baseline", GREY), (page["hard"].item(), "baseline", GREEN)]:
        found = page["estimates"](40000, baseline)[:, 0]
        spread.hist(found.view(-1, 20).mean(1).numpy(), 26, range=(-0.9, 1.6), color=colour, alpha=0.7, label=name)
        errors = [float((found[: len(found) // n * n].view(-1, n).mean(1) - exact).abs().mean()) for n in counts]
        error.plot(counts, errors, color=colour, marker="o", label=name)
    spread.axvline(exact, color="black", lw=1.2, label="exact")
    spread.set(title="estimates of a gradient", yticks=[])
    error.set(xscale="log", yscale="log", title="mean error", xlabel="draws")
    spread.legend(frameon=False, fontsize=9, loc="upper right")
    error.legend(frameon=False, fontsize=9)
    for chart in (bars, spread, error):
        _quiet(chart)
    return figure


def draw_query_key_value() -> Figure:
    """The worked example as matrices with their numbers, one unit of the axes to a cell."""
    page, things = run_page("query-key-value"), [*run_page("query-key-value")["names"]]
    figure = Figure(figsize=(10, 2.3))
    place = figure.add_axes((0, 0, 1, 1))
    place.set(xlim=(0, 24), ylim=(6.2, 0.68))
    place.axis("off")
    for row, asks in enumerate(["for red", "for blue", "for anything"]):
        place.text(2.5, 3.0 + row, asks, ha="right", va="center", fontsize=9, color=GREY)
    _matrix(place, 2.7, page["queries"], "Q", ["red", "blue"])
    _matrix(place, 5.6, page["keys"].T, "$K^T$", things)
    _matrix(place, 10.7, page["scores"], r"scores $QK^T/\sqrt{2}$", things)
    _matrix(place, 15.7, page["weights"], "weights", things)
    _matrix(place, 20.6, page["values"], "V", ["mm"])
    _matrix(place, 22.6, page["seen"], "answers", ["mm"])
    for left, sign in [(5.15, "x"), (10.15, "="), (15.2, "\u2192"), (20.15, "x"), (22.1, "=")]:
        place.text(left, 4.0, sign, ha="center", va="center", fontsize=12)
    place.text(15.2, 3.4, "softmax", ha="center", va="center", fontsize=7)
    return figure


def draw_scan() -> Figure:
    """Where three positions of the slice on the page look: in the liver, in bone and in fat."""
    page = run_page("query-key-value")
    image, patches = page["image"], page["patches"][0]
    grey = ((image + 1.6) / 4).numpy()
    found = {"liver": page["row"] * image.shape[1] + page["column"]}
    found["bone"] = int(patches.sum(1).argmax())
    found["fat"] = int((patches + 1).square().sum(1).argmin())  # -100 HU throughout
    body = grey > 0
    rows, columns = (np.flatnonzero(body.any(axis))[[0, -1]] for axis in (1, 0))
    figure, axes = _panels(1, 4, height=_height((np.ptp(rows) + 3, np.ptp(columns) + 3), 4))
    axes[0].imshow(grey, cmap="gray", vmin=0, vmax=1)
    _frame(axes[0], "scan")
    for panel, (name, place) in zip(axes[1:], found.items(), strict=True):
        row, column = divmod(place, image.shape[1])
        looks = page["looks_at"](row, column).numpy()
        strength = np.sqrt(looks / looks.max())  # the weak ones are to be seen too
        panel.imshow(overlay(0.6 * grey, strength, limits=(0.0, 1.0), opacity=0.9).clip(0, 1), interpolation="nearest")
        for shown in (axes[0], panel):
            shown.plot(column, row, marker="+", color="#5bd1ff", markersize=11, markeredgewidth=2)
        _frame(panel, f"where a place in {name} looks")
    for panel in axes:
        panel.set(xlim=(columns[0] - 1.5, columns[1] + 1.5), ylim=(rows[1] + 1.5, rows[0] - 1.5))
    return figure


def draw_all(folder: Path, size: str = "full", names: Sequence[str] = ()) -> None:
    """Write these pictures, all when none is named, as ``foundations-NAME.png``; ``size`` is that of the scan."""
    scan = axial(size) if not names or set(names) & set(OF_A_SCAN) else None
    pictures = {name: partial(draw, scan) for name, draw in OF_A_SCAN.items()} | PICTURES
    for name in names or pictures:
        # 256 colours are enough for these and take a third of the space
        picture = Image.open(io.BytesIO(encode(pictures[name](), dpi=100))).convert("RGB").quantize(256)
        with atomic(folder / f"foundations-{name}.png") as temporary:
            picture.save(temporary, format="png", optimize=True)


def _matrix(place: Axes, left: float, values: torch.Tensor, name: str, columns: Sequence[str]) -> None:
    """Cells with their numbers from x = ``left``, around y = 4, the columns' names and the matrix's above."""
    top, most = 4.0 - len(values) / 2, max(float(values.max()), 1e-9)
    for row, numbers in enumerate(values.tolist()):
        for column, number in enumerate(numbers):
            share = number / most
            shade = (1 - 0.75 * share, 1 - 0.5 * share, 1 - 0.2 * share)
            cell = Rectangle((left + column, top + row), 1, 1, facecolor=shade, edgecolor="white", lw=1.5)
            place.add_patch(cell)
            text = f"{number:.2f}" if most < 6 and number % 1 else f"{number:.4g}"
            place.text(left + column + 0.5, top + row + 0.5, text, ha="center", va="center", fontsize=8.5)
    for column, text in enumerate(columns):
        place.text(left + column + 0.5, top - 0.25, text, ha="center", va="center", fontsize=7.5, color=GREY)
    place.text(left + values.shape[1] / 2, 1.15, name, ha="center", va="center", fontsize=10)


def _panels(rows: int, columns: int, *, height: float, width: float = 10.0) -> tuple[Figure, list[Axes]]:
    """Places in rows and columns with room for a line above each."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.05, wspace=0.02, hspace=0.02)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _height(shape: tuple[int, ...], columns: int) -> float:
    """Inches of a row of so many pictures of this shape in a figure of 10 inches, with a line above."""
    return 10.0 / columns * shape[0] / shape[1] + 0.3


def _frame(place: Axes, name: str) -> None:
    """No ticks, a thin grey frame, and the name above."""
    place.set(xticks=[], yticks=[])
    place.set_title(name, fontsize=10)
    for side in place.spines.values():
        side.set(color=GREY, linewidth=0.6)


def _quiet(chart: Axes) -> None:
    chart.spines[["top", "right"]].set_visible(False)
    chart.tick_params(labelsize=9)
    chart.set_title(chart.get_title(), fontsize=10)


OF_A_SCAN: dict[str, Callable[[np.ndarray], Figure]] = {
    "convolution": draw_convolution,
    "pooling": draw_pooling,
    "transposed": draw_transposed,
}
PICTURES: dict[str, Callable[[], Figure]] = {
    "cost": draw_cost,
    "receptive": draw_receptive,
    "influence": draw_influence,
    "soft-hard": draw_soft_hard,
    "query-key-value": draw_query_key_value,
    "scan": draw_scan,
}


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], choices=[*OF_A_SCAN, *PICTURES], help="default: all")
    draw_all(DOCS / "images", names=parser.parse_args().only)


if __name__ == "__main__":
    main()
