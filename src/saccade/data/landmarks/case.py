"""What a data set of landmarks is made of: cases, each one image and the named points that lie in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from saccade.data.layout_case import Fault
from saccade.errors import InputError

AXES = ("x", "y", "z")
Point = tuple[float, ...]


@dataclass(frozen=True)
class CentreLine:
    """The middle of a long structure that a landmark lies on, such as a rib.

    Attributes:
        vertices: Points along it, at least two, in the units of the landmarks.
        half_width: From the line to the structure's edge, in the same units.
    """

    vertices: tuple[Point, ...]
    half_width: float


@dataclass(frozen=True)
class LandmarkCase:
    """One image and its landmarks.

    Attributes:
        id: The name that predictions of this image carry.
        source: Its file.
        points: Name -> place, of the landmarks that are there: (x, y) in pixels of a picture, whose first pixel reaches
            from 0 to 1, so that its middle is (0.5, 0.5); (x, y, z) in mm of a volume's world, RAS+.
        split: "train", "validation" or "test" when the table says so.
        group: What must not be divided among folds, such as a patient with several images.
        lines: Name -> the line that the landmark lies on, where the data set has it.
    """

    id: str
    source: Path
    points: Mapping[str, Point]
    split: str | None = None
    group: str | None = None
    lines: Mapping[str, CentreLine] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """What this case has, as text: its landmarks and their places."""
        return tuple(f"{name} {' '.join(f'{v:.9g}' for v in point)}" for name, point in self.points.items())


@dataclass(frozen=True)
class LandmarkDataset:
    """The cases of a table.

    Attributes:
        root: The folder, or the file, that was given.
        layout: "landmarks".
        cases: In order of id.
        names: Of the landmarks, in the order of the table.
        dims: Coordinates of a point, 2 or 3.
        faults: What is wrong with the table; no image has been opened for these.
    """

    root: Path
    layout: str
    cases: tuple[LandmarkCase, ...]
    names: tuple[str, ...]
    dims: int
    faults: tuple[Fault, ...] = ()

    def labelled(self) -> list[LandmarkCase]:
        """The cases that have a landmark."""
        return [case for case in self.cases if case.points]

    def case(self, id: str) -> LandmarkCase:
        """The case of that id.

        Raises:
            InputError: If there is none.
        """
        if id not in self._by_id:
            raise InputError(f"{self.root}: must hold case '{id}', got {len(self.cases)} other case(s).")
        return self._by_id[id]

    @cached_property
    def _by_id(self) -> dict[str, LandmarkCase]:
        return {case.id: case for case in self.cases}
