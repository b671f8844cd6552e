"""What a data set for classification or regression is made of: cases, each one image and its targets as text."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from saccade.data.layout_case import Fault
from saccade.errors import InputError

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Packed:
    """One image of the many in a file.

    Args:
        path: An ``.npz`` archive or an MNIST file.
        member: Name of the array in the archive; empty where the file is the array.
        index: Which of the images.
    """

    path: Path
    member: str
    index: int

    def __str__(self) -> str:
        return f"{self.path}[{self.member}{',' if self.member else ''}{self.index}]"


@dataclass(frozen=True)
class Case:
    """One image and what is to be told of it.

    Args:
        id: The name that predictions of this case carry.
        source: Its file, or its place in a packed one.
        values: The targets as text, one per column of the data set; empty where there are none.
        split: "train", "validation" or "test" when the layout says so.
        group: What must not be divided among folds, such as a patient with several images.
    """

    id: str
    source: Path | Packed
    values: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None

    @property
    def file(self) -> Path:
        """The file that the image is in."""
        return self.source.path if isinstance(self.source, Packed) else self.source


@dataclass(frozen=True)
class ImageDataset:
    """The cases of a folder and the columns of their targets.

    Args:
        root: The folder, or the file, that was given.
        layout: "class folders", "table", "npz", "mnist" or "images".
        cases: In order of id.
        columns: Names of the targets; one for class folders.
        faults: What is wrong with names and tables; no image has been read for these.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    columns: tuple[str, ...]
    faults: tuple[Fault, ...] = ()

    def labelled(self) -> list[Case]:
        """The cases that have a target."""
        return [case for case in self.cases if case.values]

    def case(self, id: str) -> Case:
        """The case of that id.

        Raises:
            InputError: If there is none.
        """
        if id not in self._by_id:
            raise InputError(f"{self.root}: must hold case '{id}', got {len(self.cases)} other case(s).")
        return self._by_id[id]

    @cached_property
    def _by_id(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}
