"""Galleries: the maps of one image for several targets, or of one target in several images, in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from saccade.data.orient import to_canonical
from saccade.data.volume import Volume
from saccade.explain.picture import grey_values, signed_scale
from saccade.explain.render import encode, overlay, planes
from saccade.files import atomic

MOST = 24  # panels of a gallery: those of which the network is surest
COLUMNS = 6
INCHES = 1.9  # of a panel


@dataclass(frozen=True, eq=False)
class Panel:
    """One map over its image.

    Attributes:
        grey: The image, 0..1; of a volume the axial plane through the map's strongest voxel.
        values: The map on the same pixels.
        rank: By which panels are sorted, highest first; None keeps their order.
        words: What is written below the name.
    """

    grey: Float[np.ndarray, "rows columns"]
    values: Float[np.ndarray, "rows columns"]
    rank: float | None
    words: tuple[str, ...]


def panel(scan: Volume, map_: Volume, *, flat: bool, rank: float | None, words: Sequence[str]) -> Panel:
    """The panel of a map over its scan, or over its picture of rows and columns."""
    values = np.nan_to_num(map_.array)
    if flat:
        return Panel(grey_values(scan)[..., 0], values[..., 0], rank, tuple(words))
    scan, values = to_canonical(scan), np.nan_to_num(to_canonical(map_).array)
    i, j, k = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    centre = int(i), int(j), int(k)
    return Panel(planes(grey_values(scan), centre).axial, planes(values, centre).axial, rank, tuple(words))


class Galleries:
    """Collects panels by case and by target; keeps no more than it draws.

    Args:
        out: Folder for ``gallery_<case or target>_<method>.png``; of a single map there is none.
        method: Name of the method.
    """

    def __init__(self, out: Path, method: str) -> None:
        self._out, self._method = out, method
        self._of_case = _Gallery()
        self._of_target: dict[str, _Gallery] = {}

    def add(self, case: str, target: str, one: Panel) -> None:
        """Take one map."""
        self._of_case.add(target, one)
        self._of_target.setdefault(target, _Gallery()).add(case, one)

    def finish_case(self, case: str) -> list[Path]:
        """Draw the maps of one case."""
        gallery, self._of_case = self._of_case, _Gallery()
        return self._draw(case, gallery)

    def finish(self) -> list[Path]:
        """Draw the maps of each target."""
        return [path for target, gallery in self._of_target.items() for path in self._draw(target, gallery)]

    def _draw(self, name: str, gallery: "_Gallery") -> list[Path]:
        if len(gallery.panels) < 2:
            return []
        path = self._out / f"gallery_{plain_name([name, self._method])}.png"
        with atomic(path) as temporary:
            temporary.write_bytes(encode(gallery.draw(f"{name}, {self._method}"), dpi=110))
        return [path]


@dataclass
class _Gallery:
    panels: list[tuple[str, Panel]] = field(default_factory=list)

    def add(self, name: str, one: Panel) -> None:
        self.panels.append((name, one))
        self.panels.sort(key=lambda named: -np.inf if named[1].rank is None else -named[1].rank)
        del self.panels[MOST:]

    def draw(self, title: str) -> Figure:
        """All on one scale, so that colours can be compared."""
        columns = min(COLUMNS, len(self.panels))
        rows = ceil(len(self.panels) / columns)
        figure = Figure(figsize=(columns * INCHES + 0.9, rows * (INCHES + 0.35) + 0.4), layout="constrained")
        figure.suptitle(title, fontsize=10)
        axes = figure.subplots(rows, columns, squeeze=False)
        scale = signed_scale(np.concatenate([one.values.ravel() for _, one in self.panels]))
        for place in axes.flat:
            place.axis("off")
        for place, (name, one) in zip(axes.flat, self.panels, strict=False):
            place.imshow(overlay(one.grey, one.values, limits=scale.limits, colormap=scale.colormap))
            place.set_title("\n".join([Path(name).name, *one.words]), fontsize=7)
        figure.colorbar(ScalarMappable(Normalize(*scale.limits), scale.colormap), ax=axes, shrink=0.8)
        return figure


def plain_name(words: Sequence[str]) -> str:
    """Words as the name of a file."""
    return "_".join("".join(c if c.isalnum() or c in ".-_" else "_" for c in word) for word in words)
