"""Boxes on pictures, and on the slices of volumes that go through them: as a PNG, or as SVG over a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from saccade.data.classification.read import is_picture, read_image
from saccade.data.orient import to_canonical
from saccade.data.volume import read_volume
from saccade.explain.picture import grey_values
from saccade.explain.render import grey_window, planes
from saccade.metrics.detection_match import Found, Truth, judge
from saccade.metrics.inputs import Real
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.frame import Frame

MOST_SLICES = 4  # of a volume
MOST_LABELS = 25  # more of them hide the picture
INCHES, SMALLEST = 6.0, 2.0  # of a picture's longer and shorter side
RIM = 0.35  # opacity of the black line behind each, for bright pictures
_PERCENTILES = (0.5, 99.5)  # black and white of pictures deeper than 8 bits


@dataclass(frozen=True)
class Style:
    """How a kind of box is drawn; the colours are told apart by all eyes (Okabe and Ito, 2008)."""

    words: str
    colour: str
    dashes: tuple[Real, ...] = ()
    width: float = 1.6


HIT = Style("hit", "#2ecc8f")
FALSE_ALARM = Style("false alarm", "#ff7a33", (5, 3))
MISSED = Style("missed object", "#f0e442", (1.5, 2.5), 2.2)
FOUND = Style("object", "#8fd3ff", (), 0.9)
IGNORED = Style("not counted", "#b0b0b0", (2, 2), 1.0)
JUDGED = (HIT, FALSE_ALARM, MISSED, FOUND, IGNORED)
_OF_CLASSES = ("#2ecc8f", "#ff7a33", "#56b4e9", "#f0e442", "#ff8fd0", "#b9a3ff", "#e6e6e6")


@dataclass(frozen=True)
class Mark:
    """One box that is drawn.

    Attributes:
        box: Corners in the user's units, as `Detections` has them.
        style: How.
        label: Beside it.
    """

    box: tuple[Real, ...]
    style: Style
    label: str


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture, or an axial slice of a volume as radiologists see it.

    Attributes:
        levels: 0 to 1.
        marks: With (x1, y1, x2, y2) in its pixels, y downwards.
        aspect: How much higher than wide a pixel is.
        title: Which slice.
    """

    levels: Float[np.ndarray, "rows columns 3"]
    marks: tuple[Mark, ...]
    aspect: float = 1.0
    title: str = ""


def marks_of(found: Detections, classes: Sequence[str]) -> list[Mark]:
    """What a detector says, a colour for each class."""
    styles = {name: Style(name, _OF_CLASSES[n % len(_OF_CLASSES)]) for n, name in enumerate(classes)}
    return [
        Mark(tuple(box), styles[name], f"{name} {score:.2f}")
        for box, name, score in zip(found.boxes.tolist(), found.names, found.scores.tolist(), strict=True)
    ]


def judged_marks(found: Found, truth: Truth) -> list[Mark]:
    """Detections beside the truth, what is wrong first: missed objects, false alarms, then hits and their objects."""
    states, reached = judge(found, truth)
    said = [
        Mark(tuple(box), {1: HIT, 0: FALSE_ALARM}.get(int(state), IGNORED), f"{name} {score:.2f}")
        for box, name, score, state in zip(found.boxes.tolist(), found.names, found.scores, states, strict=True)
    ]
    there = [
        Mark(tuple(box), IGNORED if ignored else FOUND if hit else MISSED, "" if hit else name)
        for box, name, ignored, hit in zip(truth.boxes.tolist(), truth.names, truth.ignored, reached, strict=True)
    ]
    order = [MISSED, FALSE_ALARM, HIT, FOUND, IGNORED]
    return sorted([*there, *said], key=lambda mark: order.index(mark.style))


def panels_of(image: Path, marks: Sequence[Mark], *, most: int = MOST_SLICES) -> list[Panel]:
    """What is drawn of an image: the picture, or the slices through the middles of a volume's first boxes.

    Args:
        image: A picture or a volume.
        marks: In the order in which they matter.
        most: Slices of a volume.

    Raises:
        InputError: If the image cannot be read.
    """
    if is_picture(image):
        return [Panel(_levels(read_image(image).array), tuple(marks))]
    volume = to_canonical(read_volume(image))
    shape = volume.shape
    boxes = np.array([mark.box for mark in marks], float).reshape(-1, 6)
    voxels = Frame(shape, shape, volume.affine).to_prepared(boxes)  # z, y, x: its last axis first
    middles = ((voxels[:, 0] + voxels[:, 3]) / 2).astype(int).clip(0, shape[2] - 1)
    slices = list(dict.fromkeys(middles.tolist()))[:most] or [shape[2] // 2]
    grey = grey_values(volume)
    panels = []
    for k in slices:
        through = np.flatnonzero((voxels[:, 0] <= k + 0.5) & (voxels[:, 3] >= k + 0.5))
        # right on the left and front at the top: both axes turned round
        places = [(shape[0] - b[5], shape[1] - b[4], shape[0] - b[2], shape[1] - b[1]) for b in voxels[through]]
        inside = [
            Mark(tuple(map(float, place)), marks[n].style, marks[n].label)
            for n, place in zip(through.tolist(), places, strict=True)
        ]
        cut = planes(grey, (0, 0, k)).axial
        aspect = volume.spacing_mm[1] / volume.spacing_mm[0]
        title = f"axial slice {k + 1} of {shape[2]}"
        panels.append(Panel(np.repeat(cut[..., None], 3, -1), tuple(inside), aspect, title))
    return panels


def box_figure(panels: Sequence[Panel]) -> Figure:
    """The panels of an image side by side, with a legend of the boxes that are there."""
    sizes = [_inches(panel) for panel in panels]
    styles = list(dict.fromkeys(mark.style for panel in panels for mark in panel.marks))
    legend = 0.3 if styles else 0.0
    width, height = sum(wide for wide, _ in sizes), max(high for _, high in sizes) + legend
    figure = Figure(figsize=(width, height), facecolor="black")
    left = 0.0
    for panel, (wide, high) in zip(panels, sizes, strict=True):
        axes = figure.add_axes((left / width, 1 - high / height, wide / width, high / height))
        _draw(axes, panel)
        left += wide
    if styles:
        lines = [Line2D([], [], color=s.colour, linewidth=s.width, linestyle=_dashes(s), label=s.words) for s in styles]
        shown = figure.legend(
            handles=lines, loc="lower center", ncols=len(lines), fontsize=8, frameon=False, labelcolor="#e4e7eb"
        )
        for text in shown.get_texts():
            text.set_parse_math(False)
    return figure


def draw_mark(axes: Axes, mark: Mark) -> None:
    """The box of a mark, without its label, in the axes' coordinates."""
    x1, y1, x2, y2 = mark.box
    style = mark.style
    rim, line = (Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False) for _ in range(2))
    rim.set(edgecolor="black", linewidth=style.width + 1.2, alpha=RIM)
    line.set(edgecolor=style.colour, linewidth=style.width, linestyle=_dashes(style))
    for part in (rim, line):
        axes.add_patch(part)


def svg_boxes(panel: Panel, shown_width: Real) -> Markup:
    """The boxes of a panel as SVG elements in its pixels; names are only text.

    Args:
        panel: What they lie on.
        shown_width: Of the picture on the page, in its pixels: by it the letters keep their size.
    """
    size = 11 * panel.levels.shape[1] / shown_width
    labelled = len(panel.marks) <= MOST_LABELS
    parts = []
    for mark in reversed(panel.marks):  # the first lies on top
        x1, y1, x2, y2 = mark.box
        style, dashes = mark.style, " ".join(f"{part:g}" for part in mark.style.dashes)
        shape = Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" fill="none"').format(
            x1, y1, x2 - x1, y2 - y1
        )
        rim = Markup(' stroke="#000" stroke-opacity="{}" stroke-width="{:g}" vector-effect="non-scaling-stroke"/>')
        line = Markup(
            ' stroke="{}" stroke-width="{}" stroke-dasharray="{}" vector-effect="non-scaling-stroke">'
            "<title>{}</title></rect>"
        ).format(style.colour, style.width, dashes or "none", _told(mark))
        parts += [shape, rim.format(RIM, style.width + 1.6), shape, line]
        if labelled and mark.label:
            parts.append(
                Markup('<text x="{:.2f}" y="{:.2f}" fill="{}" font-size="{:.2f}">{}</text>').format(
                    x1, max(y1 - 0.3 * size, size), style.colour, size, mark.label
                )
            )
    return Markup("").join(parts)


def svg_sample(style: Style) -> Markup:
    """A line of a kind of box, for a legend."""
    dashes = " ".join(f"{part:g}" for part in style.dashes) or "none"
    return Markup(
        '<svg width="28" height="8" role="img"><line x1="1" y1="4" x2="27" y2="4" stroke="{}" stroke-width="{}" '
        'stroke-dasharray="{}"/></svg>'
    ).format(style.colour, style.width + 0.6, dashes)


def _told(mark: Mark) -> str:
    return f"{mark.style.words}: {mark.label}" if mark.label else mark.style.words


def _levels(array: np.ndarray) -> np.ndarray:
    values = array.astype(float)
    low, high = (0.0, 255.0) if array.dtype == np.uint8 else np.percentile(values, _PERCENTILES)
    levels = grey_window(values, float(low), float(high))
    return levels if levels.shape[-1] == 3 else np.repeat(levels[..., :1], 3, -1)


def _inches(panel: Panel) -> tuple[float, float]:
    rows, columns = panel.levels.shape[0] * panel.aspect, panel.levels.shape[1]
    factor = INCHES / max(rows, columns)
    return max(columns * factor, SMALLEST), max(rows * factor, SMALLEST)


def _draw(axes: Axes, panel: Panel) -> None:
    rows, columns = panel.levels.shape[:2]
    axes.imshow(panel.levels, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
    edge = [withStroke(linewidth=2.2, foreground="black")]
    labelled = len(panel.marks) <= MOST_LABELS
    for mark in reversed(panel.marks):
        x1, y1, _, y2 = mark.box
        style = mark.style
        draw_mark(axes, mark)
        if labelled and mark.label:
            low = y1 < 0.06 * rows  # no room above
            axes.text(
                x1, y2 if low else y1, mark.label, color=style.colour, fontsize=8, va="top" if low else "bottom",
                path_effects=edge, parse_math=False, clip_on=True,
            )  # fmt: skip
    if panel.title:
        axes.text(
            0.01, 0.99, panel.title, color="#e4e7eb", fontsize=8, va="top", transform=axes.transAxes, path_effects=edge
        )
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")


def _dashes(style: Style) -> Literal["solid"] | tuple[int, tuple[Real, ...]]:
    return (0, style.dashes) if style.dashes else "solid"
