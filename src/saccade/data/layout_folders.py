"""Pair the images of one folder with the labels of another; everything odd becomes a fault, nothing is guessed."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from saccade.data.dicom import is_dicom
from saccade.data.layout_case import Case, Fault
from saccade.data.layout_names import case_id, match_ids, match_key, stem, volumes_in

_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass
class Collected:
    """The cases and faults that a layout has found so far."""

    cases: list[Case] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add_folders(
        self, images: Path, labels: Path | None, *, split: str | None = None, channels: bool = False
    ) -> None:
        """Add the cases of a folder of images and a folder of labels (None: this layout has none for them).

        Args:
            images: Volume files, and folders with a DICOM series each.
            labels: A missing label is a fault when this folder exists, unless the split is "test".
            split: Given to each case.
            channels: Files are ``<case>_0000``, ``<case>_0001``, ... (nnU-Net): one case, one channel each.
        """
        paths = [*volumes_in(images), *dicom_folders(images)]
        files = grouped_channels(paths) if channels else [(stem(path), (path,)) for path in paths]
        self.add(files, volumes_in(labels) if labels else [], split=split, needs=labels)

    def add(
        self,
        files: Iterable[tuple[str, tuple[Path, ...]]],
        labels: Iterable[Path],
        *,
        split: str | None = None,
        needs: Path | None = None,
    ) -> None:
        """Add the cases of these (id, files of its image) and labels; see `add_folders`."""
        images = self._unique(files)
        label_of = {id: paths[0] for id, paths in self._unique((case_id(p), (p,)) for p in labels).items()}
        matched = match_ids(list(images), list(label_of))
        wanted = needs is not None and needs.is_dir() and split != "test"
        for id, paths in images.items():
            label = label_of[matched[id]] if id in matched else None
            if label is None and wanted:
                self.faults.append(Fault(id, str(paths[0]), "missing label", f"a label map in {needs}", "none"))
            self.cases.append(Case(id, paths, label, split))
        for id in sorted(set(label_of) - set(matched.values())):
            self.faults.append(Fault(id, str(label_of[id]), "missing image", "an image of this case", "none"))

    def check_channels(self, expected: int | None) -> None:
        """Note each case that has another number of channel files than declared, or than most cases."""
        counts = Counter(len(case.images) for case in self.cases)
        if not counts or (expected is None and len(counts) == 1):
            return
        expected = expected or counts.most_common(1)[0][0]
        for case in self.cases:
            if len(case.images) != expected:
                found = ", ".join(path.name for path in case.images)
                self.faults.append(
                    Fault(case.id, str(case.images[0]), "channel count", f"{expected} channel file(s)", found)
                )

    def flip(self, opposed: Mapping[str, bool]) -> None:
        """Mark the cases (by id) whose label runs against the image in y."""
        self.cases = [replace(case, flip_label_y=opposed.get(case.id, False)) for case in self.cases]

    def _unique(self, files: Iterable[tuple[str, tuple[Path, ...]]]) -> dict[str, tuple[Path, ...]]:
        first: dict[str, tuple[str, tuple[Path, ...]]] = {}
        for id, paths in files:
            key = match_key(id)
            if key in first:
                expected = f"one file for it, {first[key][1][0].name}"
                self.faults.append(Fault(id, str(paths[0]), "duplicate case", expected, "a second one"))
            else:
                first[key] = (id, paths)
        return dict(first.values())


def grouped_channels(paths: Iterable[Path]) -> list[tuple[str, tuple[Path, ...]]]:
    """Files ``<case>_0000``, ``<case>_0001``, ... as (case, files in channel order); other names are a case each."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(paths):
        found = _CHANNEL.fullmatch(stem(path))
        groups.setdefault(found[1] if found else stem(path), []).append(path)
    return [(id, tuple(files)) for id, files in groups.items()]


def dicom_folders(folder: Path) -> list[Path]:
    """The direct sub-folders that hold a DICOM series, at any depth."""
    if not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path for path in inside if first_dicom(path.rglob("*")) is not None]


def first_dicom(paths: Iterable[Path]) -> Path | None:
    """The DICOM file among the first few visible files; a series has little else in its folder."""
    visible = (path for path in paths if path.is_file() and not path.name.startswith("."))
    return next((path for path in islice(visible, 3) if is_dicom(path)), None)
