"""What a folder of scans is made of: cases, the data set, and the faults found in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from saccade.errors import InputError

Split = Literal["train", "validation", "test"]

Kind = Literal[
    "list",
    "missing file",
    "missing image",
    "missing label",
    "duplicate case",
    "channel count",
    "unreadable",
    "truncated",
    "4D",
    "DICOM series",
    "geometry",
    "not finite",
    "constant image",
    "intensity range",
    "non-integer label",
    "label value",
    "unlabelled class",
    "empty label",
    "empty class",
    "unknown target",
    "single class",
    "unknown class",
    "image size",
    "box outside",
    "reversed box",
    "empty box",
    "duplicate object",
    "point outside",
    "duplicate point",
    "unknown point",
    "empty landmark",
]


@dataclass(frozen=True)
class Case:
    """One scan and, when there is one, its label map.

    Args:
        id: The name predictions of this case carry.
        images: One file per channel, or one (multi-channel) file, or one DICOM folder.
        label: The label map, or None.
        split: "train", "validation" or "test" when the layout says so.
        flip_label_y: The label's second axis runs against the image's (NIH Pancreas-CT).
        labelled: Values of the classes that were labelled in this case; None for all. Its background may hold others.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None
    split: str | None = None
    flip_label_y: bool = False
    labelled: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a data set; ``case`` is empty when it concerns the whole."""

    case: str
    file: str
    kind: Kind
    expected: str
    found: str
    fixable: bool = False
    fixed: bool = False

    def __str__(self) -> str:
        where = f"case {self.case}: {self.file}" if self.case else self.file
        return f"{where}: {self.kind}: expected {self.expected}, found {self.found}."


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder and what is known of their labels and channels.

    Args:
        root: The folder, or the list file, that was given.
        layout: "btcv", "msd", "nnunet", "pancreas-ct", "pairs", "list" or "images".
        cases: In order of id.
        label_names: Foreground classes only, value -> name, in value order; empty when unknown.
        channel_names: Empty only when no image could be opened.
        modality: "CT", "MR" or "PT" when the layout says it.
        faults: What is wrong with the names and lists themselves; no image has been read for these.
        declared: Case -> the classes that a list says were labelled in it, as they are written there.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    label_names: dict[int, str]
    channel_names: tuple[str, ...] = ()
    modality: str | None = None
    faults: tuple[Fault, ...] = ()
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def labelled(self) -> list[Case]:
        """The cases that have a label map."""
        return [case for case in self.cases if case.label is not None]

    def case(self, id: str) -> Case:
        """The case of that id.

        Raises:
            InputError: If there is none.
        """
        for case in self.cases:
            if case.id == id:
                return case
        raise InputError(f"{self.root}: must hold case '{id}', got {len(self.cases)} other case(s).")
