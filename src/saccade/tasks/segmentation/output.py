"""Predictions as files: a folder of scans is worked through, by one process or by several, and what is done stays."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from saccade.data.volume import Volume
from saccade.errors import InputError, unknown_name
from saccade.tasks.segmentation.cleanup import CleanUp, clean_up, voxel_ml_of
from saccade.tasks.segmentation.folder import (
    BACKGROUND,
    Record,
    ResultFolder,
    identity_of,
    same_files,
    weights_digest,
)
from saccade.tasks.segmentation.memory import readable_bytes
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.results import Segmentation
from saccade.tasks.segmentation.scans import Scan, check_case_name, find_scans, read_channels, scan_state

__all__ = ["Scan", "Wanted", "find_scans", "organ_volumes_ml", "predict_scans", "read_channels"]

POLL_SECONDS = 0.5  # between looks at whether another process has finished or died
Progress = Callable[[str, int, int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is written of each scan beside its labels.

    Attributes:
        attention: Each gate's map.
        probabilities: Organs whose softmax probability is written, as the network gives it (not cleaned up);
            ``"all"`` stands for every organ.
        uncertainty: The entropy of the softmax.
        dicom_seg: The labels as a DICOM Segmentation too; scans must be DICOM series.
        clean_up: Rules by which stray pieces are removed from the labels.
        max_memory: Bytes that the process may come to hold; None for no limit.
    """

    attention: bool = False
    probabilities: tuple[str, ...] = ()
    uncertainty: bool = False
    dicom_seg: bool = False
    clean_up: CleanUp | None = None
    max_memory: int | None = None

    def organs(self, names: Mapping[int, str]) -> tuple[str, ...]:
        """The organs that probabilities are wanted of, each once.

        Raises:
            InputError: For an organ that the run does not know.
        """
        known = [*names.values(), BACKGROUND]
        for organ in self.probabilities:
            if organ not in known and organ != "all":
                raise unknown_name("predict", "organ", organ, [*known, "all"])
        every = names.values() if "all" in self.probabilities else ()
        return tuple(dict.fromkeys([*every, *(organ for organ in self.probabilities if organ in known)]))

    def kinds(self, names: Mapping[int, str]) -> set[str]:
        """A word for each result."""
        flags = {"labels": True, "attention": self.attention, "uncertainty": self.uncertainty, "dicom": self.dicom_seg}
        return {kind for kind, on in flags.items() if on} | {f"probability of {n}" for n in self.organs(names)}


def predict_scans(
    predictor: SegmentationPredictor,
    scans: Sequence[Scan],
    out: Path,
    wanted: Wanted | None = None,
    *,
    overwrite: bool = False,
    share: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    say: Say | None = None,
) -> Iterator[Path]:
    """Segment the scans that are not finished yet; other processes may be at the same folder, each scan is done once.

    A scan is finished when all that is wanted of it is there, made from the same files by the same weights and
    settings; its record says so. A scan at which another process is working is left to it; once nothing else is to do,
    this process waits until that one has finished, and takes over should it die. Each result appears whole, and one
    bad scan stops the rest only at its turn.

    Args:
        predictor: A trained network.
        scans: From `find_scans`.
        out: Folder; gets ``<case>.nii.gz`` (or what the run's file_pattern says), ``volumes.csv``, descriptions of the
            labels for viewers, ``records/<case>.json``, and what else is wanted in folders of its own.
        wanted: What is written; default the labels alone.
        overwrite: Also do the scans that were finished when this began.
        share: This process's number among how many: where in the list it begins. Nothing is done twice without it.
        progress: Called with (case, windows done, windows in all, scans finished).
        say: Gets a line for the scans skipped, the memory expected, the time taken.

    Yields:
        The label file of each scan that was segmented here.

    Raises:
        InputError: If a scan cannot be used, or something is wanted that cannot be.
    """
    wanted = wanted or Wanted()
    job = _Job(predictor, wanted, out, progress or _silent, say or _silent)
    job.check(scans)
    was_there = out.exists()
    finished = {scan[0] for scan in scans if job.is_finished(scan)}
    old = {case: job.folder.stamp(case) for case in finished} if overwrite else {}
    if finished and not overwrite:
        job.say(f"{len(finished)} of {len(scans)} scans: finished before, skipped; --overwrite does them again")
        job.folder.write_tables()
    begin = share[0] * len(scans) // share[1]
    queue = [scan for scan in (*scans[begin:], *scans[:begin]) if overwrite or scan[0] not in finished]
    told = False
    try:
        while queue:
            before = len(queue)
            for scan in tuple(queue):
                with job.folder.claims.hold(f"scan.{scan[0]}") as ours:
                    if not ours:
                        continue
                    queue.remove(scan)
                    done = None
                    # one that was finished before counts again once its record is another process's new one
                    if not job.is_finished(scan) or job.folder.stamp(scan[0]) == old.get(scan[0]):
                        done = job.do(scan, finished=len(scans) - len(queue) - 1)
                if done is not None:
                    yield done
            if len(queue) == before:
                if not told:
                    job.say(f"waiting for other processes, which are at {', '.join(case for case, _ in queue)}")
                    told = True
                time.sleep(POLL_SECONDS)
    finally:
        if not was_there:
            with suppress(OSError):  # unless something came of it
                out.rmdir()


@dataclass
class _Job:
    """The work on one scan, as often as asked."""

    predictor: SegmentationPredictor
    wanted: Wanted
    out: Path
    progress: Progress
    say: Say
    folder: ResultFolder = field(init=False)
    made_by: str = field(init=False)

    def __post_init__(self) -> None:
        config = self.predictor.config
        self.names = config.data.label_names
        self.organs, self.kinds = self.wanted.organs(self.names), self.wanted.kinds(self.names)
        self.folder = ResultFolder(self.out, config.inference.file_pattern, self.names)
        self.made_by = identity_of(self.predictor, self.wanted.clean_up)

    def check(self, scans: Sequence[Scan]) -> None:
        """Refuse what cannot be done before anything is."""
        if self.wanted.attention and not self.predictor.attends:
            system = self.predictor.config.system
            raise InputError(f"predict: {system} has no attention maps to write; leave --attention out.")
        for case, _ in scans:
            check_case_name(case)
        taken = same_files(
            (self.folder.labels(case) for case, _ in scans), (path for _, paths in scans for path in paths)
        )
        if taken is not None:
            raise InputError(f"{taken}: is a scan, a result would replace it. Choose another folder for --out.")
        if self.wanted.dicom_seg:
            from saccade.data.dicom_segmentation import is_dicom_series  # highdicom takes a while to load

            for _, paths in scans:
                if not is_dicom_series(paths):
                    raise InputError(f"{paths[0]}: --dicom-seg needs a DICOM series, this is none.")

    def is_finished(self, scan: Scan) -> bool:
        """Whether all that is wanted of a scan is there."""
        record = self.folder.record(scan[0])
        return record is not None and self._continues(record, scan) and self.kinds <= set(record.kinds)

    def do(self, scan: Scan, finished: int) -> Path:
        """Segment a scan and write everything; the record last."""
        case, paths = scan
        state, start = self._state(paths), time.perf_counter()
        volume = read_channels(paths)
        seconds = {"read": time.perf_counter() - start}
        attention, organs, uncertainty = self.wanted.attention, self.organs, self.wanted.uncertainty
        expected = self.predictor.expected_peak_bytes(
            volume, attention=attention, probabilities=organs, uncertainty=uncertainty
        )
        self.say(f"{case}: memory expected at most {readable_bytes(expected)}")
        found = self.predictor.segment(
            volume,
            attention=attention,
            probabilities=organs,
            uncertainty=uncertainty,
            max_memory=self.wanted.max_memory,
            progress=lambda done, windows: self.progress(case, done, windows, finished),
        )
        for stage, took in found.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + took
        labels, start = found.labels, time.perf_counter()
        if self.wanted.clean_up is not None:
            labels = clean_up(labels, self.wanted.clean_up, self.names)
            seconds["clean up"] = time.perf_counter() - start
        start = time.perf_counter()
        before = self.folder.record(case)
        kept = before if before is not None and self._continues(before, scan) else None
        self.folder.forget(case, but=() if kept is None else kept.files)
        files = self._write(case, paths[0], labels, found)
        seconds["write"] = time.perf_counter() - start
        names = [path.relative_to(self.out).as_posix() for path in files]
        self.folder.keep(
            Record(
                case=case,
                scan=tuple(map(str, paths)),
                scan_state=state,
                system=self.predictor.config.system,
                made_by=self.made_by,
                saccade=version("saccade"),
                kinds=tuple(sorted(self.kinds | set(() if kept is None else kept.kinds))),
                files=tuple(sorted({*names, *(() if kept is None else kept.files)})),
                volumes_ml=organ_volumes_ml(labels, self.names),
                seconds={stage: round(took, 3) for stage, took in seconds.items()},
                expected_peak_bytes=expected,
            )
        )
        half = "; scores summed in half precision to stay within the memory" if found.half_precision_sums else ""
        self.say(f"{case}: {', '.join(f'{stage} {took:.1f} s' for stage, took in seconds.items())}{half}")
        return self.folder.labels(case)

    def _write(self, case: str, series: Path, labels: Volume, found: Segmentation) -> list[Path]:
        to = self.folder
        files = [to.write(map_, to.attention(case, gate)) for gate, map_ in found.attention.items()]
        files += [to.write(map_, to.probability(case, organ)) for organ, map_ in found.probabilities.items()]
        if found.uncertainty is not None:
            files.append(to.write(found.uncertainty, to.uncertainty(case)))
        if self.wanted.dicom_seg:
            from saccade.data.dicom_segmentation import write_dicom_segmentation

            files.append(to.dicom(case))
            to.tidy(files[-1])
            algorithm, serial = self.predictor.config.system, weights_digest(self.predictor.network)
            write_dicom_segmentation(labels, self.names, series, files[-1], algorithm=algorithm, serial=serial)
        return [*files, to.write(labels, to.labels(case))]

    def _continues(self, record: Record, scan: Scan) -> bool:
        """Whether what a record tells of was made from the same files in the same way."""
        return (record.made_by, record.scan_state) == (self.made_by, self._state(scan[1]))

    def _state(self, paths: Sequence[Path]) -> str:
        return scan_state(paths, apart_from=self.out)


def organ_volumes_ml(labels: Volume, names: Mapping[int, str]) -> dict[str, float]:
    """Volume of each organ in millilitres; 0 where it was not found."""
    each_ml = voxel_ml_of(labels)
    counts = np.bincount(labels.array.ravel(), minlength=max(names, default=0) + 1)
    return {name: round(float(counts[value]) * each_ml, 4) for value, name in names.items()}


def _silent(*_: object) -> None:
    """For those who want to hear nothing."""
