"""Training curves as lines that the template draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CHARTS = (("Loss", "loss"), ("Dice", "dice"), ("Learning rate", "learning_rate"))  # title, how its columns end
FRAME = {"width": 380, "height": 220, "left": 46, "right": 10, "top": 10, "bottom": 34}  # of a chart, in pixels


@dataclass(frozen=True)
class Line:
    """One curve: its column's name and its points in the chart's pixels."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart that the template draws; ticks are (position in pixels, text)."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def draw_charts(rows: list[dict[str, float]], charts_of: Sequence[tuple[str, str]] = CHARTS) -> list[Chart]:
    """One chart per group of columns (title, how they end) that has a finite value; rows of an epoch are averaged."""
    charts = []
    epochs = [row["epoch"] for row in rows if math.isfinite(row.get("epoch", math.nan))]
    for title, ending in charts_of:
        names = sorted({name for row in rows for name in row if name.endswith(ending)})
        series = {name: points for name in names if (points := _series(rows, name))}
        if series:
            charts.append(_chart(title, series, min(epochs), max(epochs)))
    return charts


def _series(rows: list[dict[str, float]], name: str) -> list[tuple[float, float]]:
    by_epoch: dict[float, list[float]] = {}
    for row in rows:
        if math.isfinite(row.get(name, math.nan)) and math.isfinite(row.get("epoch", math.nan)):
            by_epoch.setdefault(row["epoch"], []).append(row[name])
    return [(epoch, sum(values) / len(values)) for epoch, values in sorted(by_epoch.items())]


def _chart(title: str, series: dict[str, list[tuple[float, float]]], x_low: float, x_high: float) -> Chart:
    ys = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = nice_ticks(x_low, x_high, whole=True), nice_ticks(min(ys), max(ys))
    x_high = max(x_high, x_low + 1)
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))
    left, right = FRAME["left"], FRAME["width"] - FRAME["right"]
    top, bottom = FRAME["top"], FRAME["height"] - FRAME["bottom"]

    def x_at(x: float) -> float:
        return round(left + (x - x_low) / (x_high - x_low) * (right - left), 1)

    def y_at(y: float) -> float:
        return round(bottom - (y - y_low) / (y_high - y_low) * (bottom - top), 1)

    return Chart(
        title,
        [Line(name, [(x_at(x), y_at(y)) for x, y in points]) for name, points in series.items()],
        [(x_at(x), f"{x:g}") for x in x_ticks if x_low <= x <= x_high],
        [(y_at(y), f"{y:g}") for y in y_ticks],
    )


def nice_ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers, four to eight, that enclose ``low``..``high``; whole numbers if asked."""
    if high <= low:
        low, high = low - (1.0 if whole else abs(low) * 0.1 or 0.5), high + (1.0 if whole else abs(high) * 0.1 or 0.5)
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]
