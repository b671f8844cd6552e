"""Images worked through into a table; what is done stays when the work is stopped."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from saccade.data.classification.case import Case, Packed
from saccade.data.classification.layouts import scan_image_dataset
from saccade.errors import InputError
from saccade.files import is_within, read_json, write_json
from saccade.tasks.claims import Claims
from saccade.tasks.classification.ensemble import EnsemblePredictor
from saccade.tasks.classification.evaluate import FILE
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table, read_table, write_table
from saccade.tasks.weights import weights_digest

RECORD = "predictions.json"
KEEP_SECONDS = 10.0  # between writings of the table
CLAIMS = ".claims"
Predictor = ClassificationPredictor | EnsemblePredictor
WriteMaps = Callable[[Case], Sequence[Path]]


def find_inputs(paths: Sequence[Path], *, apart_from: Path | None = None) -> list[Case]:
    """The images behind paths: of files, folders of them, and data sets in any layout; targets are left out.

    Args:
        paths: As the user gave them.
        apart_from: A folder of results, which may lie within.

    Raises:
        InputError: If there is no image, a table names one that is not there, or two have one name.
    """
    cases: list[Case] = []
    for path in paths:
        dataset = scan_image_dataset(path, bare=True)
        for fault in dataset.faults:
            if fault.kind in ("missing file", "list"):
                raise InputError(str(fault))
        cases += [case for case in dataset.cases if not is_within(case.file, apart_from)]
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            raise InputError(f"predict: each image must have a name of its own, {count} are called {name}.")
    if not cases:
        raise InputError(f"predict: must get images, found none in {', '.join(map(str, paths))}.")
    return cases


def predict_images(
    predictor: Predictor,
    cases: Sequence[Case],
    out: Path,
    *,
    write_maps: WriteMaps | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write ``predictions.csv``, a row for each image in their order.

    The table is written again every few seconds, whole each time, with a record of what made it: images that are in it,
    unchanged and by the same weights and settings, are not done again. Of several processes one works, the others wait.

    Args:
        predictor: A trained network, or several.
        cases: From `find_inputs`.
        out: The folder.
        write_maps: Writes the maps of an image and gives their files; an image that has none yet is done again.
        overwrite: Do all again.
        progress: Called with how many are done.
        say: Gets a line for those that were finished before.

    Returns:
        The table's file.

    Raises:
        InputError: If an image cannot be used.
    """
    was_there = out.exists()
    try:
        with Claims(out / CLAIMS).wait("predictions"):
            return _work(_Progress(predictor, cases, out), write_maps, overwrite, progress, say)
    finally:
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


class _Progress:
    """The rows that are there so far and the files of maps beside them: what the table and its record hold."""

    def __init__(self, predictor: Predictor, cases: Sequence[Case], out: Path) -> None:
        self.predictor, self.cases, self.out = predictor, cases, out
        self.made_by = identity_of(predictor)
        self.states = {case.id: _state(case) for case in cases}
        self.rows: dict[str, list[float]] = {}
        self.maps: dict[str, list[str]] = {}

    def take_over(self, *, overwrite: bool, with_maps: bool) -> None:
        """Keep the rows of an earlier table that still hold; maps of images that are done again are removed."""
        if not (self.out / RECORD).is_file() or not (self.out / FILE).is_file():
            return
        try:
            record, table = read_json(self.out / RECORD), read_table(self.out / FILE)
        except InputError:  # cut off or changed: done again
            return
        if not isinstance(record, dict) or not isinstance(before := record.get("images"), dict):
            return
        maps, same = record.get("maps"), not overwrite and record.get("made_by") == self.made_by
        for id, state in self.states.items():
            files = _names(maps.get(id)) if isinstance(maps, dict) else []
            enough = not with_maps or (files and all((self.out / name).is_file() for name in files))
            if same and id in table.rows and before.get(id) == state and enough:
                self.rows[id] = table.rows[id]
                self.maps |= {id: files} if files else {}
            else:
                for name in files:
                    _remove(self.out, name)

    def write(self) -> Path:
        """Write the table, in the order of the images, then its record."""
        ordered = {case.id: self.rows[case.id] for case in self.cases if case.id in self.rows}
        config = self.predictor.config
        write_table(Table(config.data.kind, self.predictor.names, ordered), self.out / FILE)
        done = {id: self.states[id] for id in ordered}
        about = {"system": config.system, "made_by": self.made_by}
        write_json(self.out / RECORD, {**about, "images": done, "maps": self.maps})
        return self.out / FILE


def _work(
    found: _Progress,
    write_maps: WriteMaps | None,
    overwrite: bool,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> Path:
    found.take_over(overwrite=overwrite, with_maps=write_maps is not None)
    before = len(found.rows)
    if before:
        say(f"{before} of {len(found.cases)} images: finished before, skipped; --overwrite does them again")
    left = [case for case in found.cases if case.id not in found.rows]
    written = time.monotonic()
    progress(before)
    try:
        for case, values, _ in found.predictor.predict_cases(left):
            if write_maps is not None:
                found.maps[case.id] = [path.relative_to(found.out).as_posix() for path in write_maps(case)]
            found.rows[case.id] = values
            progress(len(found.rows))
            if time.monotonic() - written > KEEP_SECONDS:
                found.write()
                written = time.monotonic()
    except BaseException:
        if len(found.rows) > before:
            found.write()
        raise
    return found.write()


def identity_of(predictor: Predictor) -> str:
    """What results follow from beside the image: weights, temperature and settings of each network."""
    members = predictor.members if isinstance(predictor, EnsemblePredictor) else [predictor]
    return " ".join(_identity(member) for member in members)


def _identity(predictor: ClassificationPredictor) -> str:
    # where the training data lay does not matter
    config = predictor.config
    settings = config.model_dump_json(include={"system", "network", "data", "inference"}, exclude={"data": {"root"}})
    return f"{weights_digest(predictor.network)} {predictor.temperature:g} {settings}"


def _names(listed: object) -> list[str]:
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _remove(out: Path, name: str) -> None:
    """Remove a map, but nothing else: the record is a file that anybody may edit."""
    path = out / name
    if is_within(path, out) and path.suffix in (".gz", ".png"):
        path.unlink(missing_ok=True)


def _state(case: Case) -> str:
    """Changes when an image's file does."""
    status = case.file.stat()
    place = f" {case.source.member} {case.source.index}" if isinstance(case.source, Packed) else ""
    return f"{case.file.name} {status.st_size} {status.st_mtime_ns}{place}"
