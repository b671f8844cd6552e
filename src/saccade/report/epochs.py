"""Attention over the epochs of training: a picture for each slice that was watched, gates by epochs."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from saccade.errors import InputError
from saccade.explain.render import MapScale, draw_contours, encode, grey_window, map_scale, overlay
from saccade.report.gather import Colour, Run, on_dark

if TYPE_CHECKING:
    from saccade.tasks.segmentation.snapshots import SliceHistory

FILE = Path("attention") / "epochs.npz"
_WIDTH, _LARGEST, _TITLE, _MARGIN, _GAP, _DPI = 10.5, 2.4, 0.24, 0.24, 0.05, 120  # inches


@dataclass(frozen=True)
class EpochPicture:
    """A slice as a data URI, and in words what its colours mean."""

    case: str
    epochs: tuple[int, ...]
    source: str
    scale: str


def draw_epochs(path: Path, run: Run, notices: list[str]) -> list[EpochPicture]:
    """The pictures of a run's ``attention/epochs.npz``; none if there is no such file.

    A gate's colours are the same at all epochs and in all slices.

    Args:
        path: The run's folder.
        run: What was read from it: names and colours of the classes.
        notices: Gets a line if the file cannot be read.
    """
    if not (path / FILE).is_file():
        return []
    from saccade.tasks.segmentation.snapshots import read_snapshots  # torch and Lightning come with it

    try:
        histories = read_snapshots(path / FILE)
    except InputError as error:
        notices.append(str(error))
        return []
    values = sorted(run.labels)
    colours = {index: on_dark(run.colours()[value]) for index, value in enumerate(values, start=1)}
    scales = _scales(histories)
    return [
        EpochPicture(
            history.case,
            history.epochs,
            f"data:image/jpeg;base64,{base64.b64encode(_picture(history, scales, colours)).decode('ascii')}",
            "; ".join(
                f"{gate}: {scales[gate].limits[0]:.3g} to {scales[gate].limits[1]:.3g}" for gate in history.gates
            ),
        )
        for history in histories
        if history.gates and history.epochs
    ]


def _scales(histories: "list[SliceHistory]") -> dict[str, MapScale]:
    ranges: dict[str, list[float]] = {}
    for history in histories:
        for number, gate in enumerate(history.gates):
            seen = history.attention[:, number].astype(np.float32)
            seen = seen[np.isfinite(seen)]
            ranges.setdefault(gate, []).extend((float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0))
    return {gate: map_scale(min(ends), max(ends)) for gate, ends in ranges.items()}


def _picture(history: "SliceHistory", scales: dict[str, MapScale], colours: dict[int, Colour]) -> bytes:
    """Rows are gates, columns epochs: the map over the slice, the truth solid and what was predicted dashed."""
    finite = history.image[np.isfinite(history.image)]
    grey = grey_window(_upright(history.image), *(np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)))
    across_mm, down_mm = (size * step for size, step in zip(history.image.shape, history.spacing_mm, strict=True))
    columns, rows = len(history.epochs), len(history.gates)
    width = min(_LARGEST, (_WIDTH - _MARGIN) / columns - _GAP)
    height = width * down_mm / across_mm
    size = (_MARGIN + columns * (width + _GAP), _TITLE + rows * (height + _GAP))
    figure = Figure(figsize=size, facecolor="black")
    for row, gate in enumerate(history.gates):
        bottom = (rows - 1 - row) * (height + _GAP) + _GAP
        figure.text(
            0.5 * _MARGIN / size[0],
            (bottom + height / 2) / size[1],
            gate,
            rotation=90,
            ha="center",
            va="center",
            color="#e4e7eb",
            fontsize=7,
            parse_math=False,
        )
        for column, epoch in enumerate(history.epochs):
            left = _MARGIN + column * (width + _GAP)
            box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
            axes = figure.add_axes(box)
            seen = _upright(history.attention[column, row].astype(np.float32))
            picture = overlay(grey, seen, limits=scales[gate].limits, colormap=scales[gate].colormap)
            axes.imshow(picture, extent=(0.0, across_mm, down_mm, 0.0), interpolation="bilinear", aspect="auto")
            pixel_mm = (history.spacing_mm[1], history.spacing_mm[0])
            draw_contours(axes, _upright(history.truth), pixel_mm, colours)
            draw_contours(axes, _upright(history.prediction[column]), pixel_mm, colours, dashed=True)
            axes.set(xlim=(0, across_mm), ylim=(down_mm, 0))
            axes.axis("off")
            if row == 0:
                axes.set_title(f"epoch {epoch}", color="#e4e7eb", fontsize=8, pad=3)
    return encode(figure, kind="jpeg", dpi=_DPI)


def _upright(cut: np.ndarray) -> np.ndarray:
    """An (i, j) slice as the radiological picture: the right on the left, the front at the top."""
    return np.flip(cut).T
