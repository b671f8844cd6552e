"""Box plots of the organs' scores over cases, as numbers that the template draws."""

import math
from dataclasses import dataclass

import numpy as np

from saccade.report.charts import nice_ticks
from saccade.report.gather import Colour, Run

PLOTS = (("Dice", "dice"), ("HD95, mm", "hd95_mm"))  # title, metric
FRAME = {"width": 560, "left": 130, "right": 16, "top": 8, "bottom": 26, "row": 24}  # in pixels
_WHISKER = 1.5  # of the interquartile range, as Tukey drew them
_LONGEST_NAME = 20  # letters that stand in the space left of a row


@dataclass(frozen=True)
class Point:
    """One case: where it lies, and in words what it is."""

    x: float
    text: str


@dataclass(frozen=True)
class Row:
    """One organ: whisker, box and median in the plot's pixels."""

    name: str
    label: str
    colour: Colour | None
    y: float
    low: float
    first_quartile: float
    median: float
    third_quartile: float
    high: float
    points: list[Point]


@dataclass(frozen=True)
class BoxPlot:
    """A plot that the template draws; ticks are (position in pixels, text)."""

    title: str
    height: float
    rows: list[Row]
    ticks: list[tuple[float, str]]


def draw_boxes(run: Run) -> list[BoxPlot]:
    """A plot for each metric of `PLOTS` that is known of two cases of an organ or more; organs in the run's order.

    Box: quartiles and median. Whiskers: the furthest cases within 1.5 interquartile ranges of the box. Every case is
    a point. Cases in which the metric is undefined are not in it.
    """
    return [plot for title, metric in PLOTS if (plot := _plot(run, title, metric)) is not None]


def _plot(run: Run, title: str, metric: str) -> BoxPlot | None:
    known: dict[str, list[tuple[float, str]]] = {}
    for case in run.cases:
        for organ, scores in case.scores.items():
            value = scores.get(metric)
            if isinstance(value, int | float) and math.isfinite(value):
                known.setdefault(organ, []).append((float(value), case.name))
    organs = [organ for organ in dict.fromkeys([*run.organs, *known]) if organ in known]
    if all(len(values) < 2 for values in known.values()):
        return None
    everything = [value for values in known.values() for value, _ in values]
    ticks = nice_ticks(0.0, 1.0 if metric == "dice" else max(*everything, 1e-3))
    left, right = FRAME["left"], FRAME["width"] - FRAME["right"]

    def x_at(value: float) -> float:
        return round(left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (right - left), 1)

    rows = []
    for position, organ in enumerate(organs):
        values = np.array([value for value, _ in known[organ]])
        first, median, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
        within = values[np.abs(values - (first + third) / 2) <= (third - first) * (0.5 + _WHISKER) + 1e-12]
        rows.append(
            Row(
                name=organ,
                label=organ if len(organ) <= _LONGEST_NAME else f"{organ[: _LONGEST_NAME - 1]}…",
                colour=run.colour(organ),
                y=FRAME["top"] + (position + 0.5) * FRAME["row"],
                low=x_at(float(within.min(initial=first))),
                first_quartile=x_at(first),
                median=x_at(median),
                third_quartile=x_at(third),
                high=x_at(float(within.max(initial=third))),
                points=[Point(x_at(value), f"{case}: {value:.3g}") for value, case in known[organ]],
            )
        )
    height = FRAME["top"] + len(rows) * FRAME["row"] + FRAME["bottom"]
    return BoxPlot(title, float(height), rows, [(x_at(tick), f"{tick:g}") for tick in ticks])
