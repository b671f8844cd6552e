"""The folder of results: where each file of a case goes, and the record of what was made, which resuming goes by."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from saccade.data.labels import write_label_descriptions
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.files import atomic, is_within, read_json, write_json
from saccade.tasks.claims import Claims
from saccade.tasks.segmentation.cleanup import CleanUp
from saccade.tasks.segmentation.ensemble import EnsemblePredictor
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.settings import Settings
from saccade.tasks.weights import weights_digest

BACKGROUND = "background"
_LONGEST_NAME = 100


class Record(Settings):
    """What is known of one predicted scan: ``records/<case>.json``."""

    version: Literal[1] = 1
    case: str
    scan: tuple[str, ...] = Field(description="files that the scan was read from")
    scan_state: str = Field(description="changes when those files do")
    system: str = Field(description="of the run, or of an ensemble's first")
    made_by: str = Field(description="digest of the weights and of all settings that the results depend on")
    saccade: str = Field(description="version of this program")
    kinds: tuple[str, ...] = Field(description="what was asked for: labels, attention, probabilities of an organ, ...")
    files: tuple[str, ...] = Field(description="what was written, relative to the folder of results")
    volumes_ml: dict[str, float] = Field(description="volume of each organ")
    seconds: dict[str, float] = Field(description="time of each stage")
    expected_peak_bytes: int = Field(description="memory that was expected to be needed")


class ResultFolder:
    """Files of results by case, all of them below one folder.

    Args:
        out: The folder; made when something is written.
        pattern: Name of a label map, with ``{case}`` in it.
        names: Label value -> organ.
    """

    def __init__(self, out: Path, pattern: str, names: Mapping[int, str]) -> None:
        self.out, self.pattern, self.names = out, pattern, dict(names)
        self._organ_files = _file_names({0: BACKGROUND, **names})
        self.claims = Claims(out / ".claims")
        self._described = False

    def labels(self, case: str) -> Path:
        """The label map."""
        return self.out / self.pattern.format(case=case)

    def attention(self, case: str, gate: str) -> Path:
        """The map of a gate."""
        return self.out / "attention" / f"{case}_{_plain(gate)}.nii.gz"

    def probability(self, case: str, organ: str) -> Path:
        """The probability of an organ; in a folder of the case, as names of cases and organs may run together."""
        return self.out / "probabilities" / case / f"{self._organ_files[organ]}.nii.gz"

    def uncertainty(self, case: str) -> Path:
        """The entropy."""
        return self.out / "uncertainty" / f"{case}.nii.gz"

    def dicom(self, case: str) -> Path:
        """The DICOM Segmentation."""
        return self.out / "dicom_seg" / f"{case}.dcm"

    def record_file(self, case: str) -> Path:
        """The record."""
        return self.out / "records" / f"{case}.json"

    def record(self, case: str) -> Record | None:
        """What was made of a case; None where nothing was finished, or no longer all of it is there."""
        record = _read_record(self.record_file(case))
        if record is None or record.case != case or not all((self.out / name).is_file() for name in record.files):
            return None
        return record

    def stamp(self, case: str) -> int | None:
        """When the record of a case was written, as the disk counts it; None where there is none."""
        try:
            return self.record_file(case).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def write(self, volume: Volume, path: Path) -> Path:
        """Write a volume in place of what a process that was killed may have left half-written."""
        self.tidy(path)
        write_volume(volume, path)
        return path

    def tidy(self, path: Path) -> None:
        """Remove unfinished copies of a file; only the owner of its case may do so."""
        for left in path.parent.glob(f".*.partial.{_literally(path.name)}"):
            left.unlink(missing_ok=True)

    def forget(self, case: str, *, but: Sequence[str] = ()) -> None:
        """Remove the record of a case and the files that it names, for others to take their place.

        The record goes first: whatever happens next, nobody takes what is left for finished. The label map stays until
        it is replaced.

        Args:
            case: The case.
            but: Files to keep, as the record names them.
        """
        record = _read_record(self.record_file(case))
        self.record_file(case).unlink(missing_ok=True)
        labels = self.labels(case)
        for name in () if record is None else record.files:
            path = self.out / name
            inside = is_within(path, self.out)  # a record is a file that anybody may edit
            if (
                inside
                and name not in but
                and path != labels
                and path.suffix in (".gz", ".nii", ".nrrd", ".mha", ".dcm")
            ):
                path.unlink(missing_ok=True)

    def keep(self, record: Record) -> None:
        """Write a record, and the table of all volumes anew."""
        self.tidy(self.record_file(record.case))
        write_json(self.record_file(record.case), record.model_dump(mode="json"))
        self.write_tables()

    def write_tables(self) -> None:
        """``volumes.csv`` of every case that is finished, whoever made it, and the descriptions of the labels.

        One process at a time: the table that is written last has been put together last.
        """
        with self.claims.wait("table"):
            records = self._records()
            if not records:
                return
            organs = [*self.names.values()]
            organs += sorted({organ for record in records for organ in record.volumes_ml} - set(organs))
            self.tidy(self.out / "volumes.csv")
            with atomic(self.out / "volumes.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["case", *(f"{organ} (ml)" for organ in organs)])
                writer.writerows([one.case, *(one.volumes_ml.get(organ, "") for organ in organs)] for one in records)
            if not self._described:
                for suffix in (".label", ".ctbl", ".json"):
                    self.tidy(self.out / f"labels{suffix}")
                write_label_descriptions(self.names, self.out / "labels")
                self._described = True

    def _records(self) -> list[Record]:
        found = (_read_record(path) for path in sorted((self.out / "records").glob("*.json")))
        return [one for one in found if one is not None and all((self.out / name).is_file() for name in one.files)]


def identity_of(predictor: SegmentationPredictor, rules: CleanUp | None) -> str:
    """A digest of all that results depend on, but for the scan: weights, preparation, windows, clean-up.

    Where results go and how much memory they may take does not count.
    """
    members = predictor.members if isinstance(predictor, EnsemblePredictor) else [predictor]
    settings = [
        {
            "system": one.config.system,
            "data": one.config.data.model_dump(mode="json", exclude={"root"}),
            "inference": one.config.inference.model_dump(mode="json", exclude={"file_pattern"}),
            "precision": one.config.training.precision,
        }
        for one in members
    ]
    cleaning = None if rules is None else rules.model_dump(mode="json", exclude={"tuning"})
    told = json.dumps([weights_digest(predictor.network), settings, cleaning], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def same_files(paths: Iterable[Path], others: Iterable[Path]) -> Path | None:
    """A path of the first that is also one of the others, by whatever name."""
    known = {path.resolve() for path in others}
    return next((path for path in paths if path.resolve() in known), None)


def _read_record(path: Path) -> Record | None:
    """A record; None where there is none, or something else."""
    with suppress(InputError):
        content = read_json(path)
        if isinstance(content, dict):
            return Record.parse(content, str(path))
    return None


def _file_names(names: Mapping[int, str]) -> dict[str, str]:
    """A file name for each organ, no two the same on a disk that does not tell large letters from small ones."""
    plain = {value: _plain(name) for value, name in names.items()}
    folded: Sequence[str] = [name.casefold() for name in plain.values()]
    return {
        names[value]: name if name and folded.count(name.casefold()) == 1 else f"{name}_{value}"
        for value, name in plain.items()
    }


def _plain(name: str) -> str:
    """Letters, digits, points and dashes of a name, joined by underscores; no point in front."""
    kept = "".join(letter if letter.isalnum() or letter in ".-_" else " " for letter in name)
    return "_".join(kept.split())[:_LONGEST_NAME].lstrip(".")


def _literally(name: str) -> str:
    """A name as a pattern that matches nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
