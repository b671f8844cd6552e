"""Images worked through into a table; what is done stays when the work is stopped."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from saccade.data.classification.case import Case, Packed
from saccade.data.classification.layouts import scan_image_dataset
from saccade.errors import InputError
from saccade.files import read_json, write_json
from saccade.tasks.claims import Claims
from saccade.tasks.classification.evaluate import FILE
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table, read_table, write_table
from saccade.tasks.weights import weights_digest

RECORD = "predictions.json"
KEEP_SECONDS = 10.0  # between writings of the table
CLAIMS = ".claims"


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
        cases += [case for case in dataset.cases if not _within(case.file, apart_from)]
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            raise InputError(f"predict: each image must have a name of its own, {count} are called {name}.")
    if not cases:
        raise InputError(f"predict: must get images, found none in {', '.join(map(str, paths))}.")
    return cases


def predict_images(
    predictor: ClassificationPredictor,
    cases: Sequence[Case],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write ``predictions.csv``, a row for each image in their order.

    The table is written again every few seconds, whole each time, with a record of what made it: images that are in it,
    unchanged and by the same weights and settings, are not done again. Of several processes one works, the others wait.

    Args:
        predictor: A trained network.
        cases: From `find_inputs`.
        out: The folder.
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
            return _work(predictor, cases, out, overwrite, progress, say)
    finally:
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def _work(
    predictor: ClassificationPredictor,
    cases: Sequence[Case],
    out: Path,
    overwrite: bool,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> Path:
    path, made_by = out / FILE, identity_of(predictor)
    states = {case.id: _state(case) for case in cases}
    kept = {} if overwrite else _finished(out, made_by, states)
    if kept:
        say(f"{len(kept)} of {len(cases)} images: finished before, skipped; --overwrite does them again")
    rows, left = dict(kept), [case for case in cases if case.id not in kept]
    written = time.monotonic()

    def keep() -> None:
        ordered = {case.id: rows[case.id] for case in cases if case.id in rows}
        write_table(Table(predictor.config.data.kind, predictor.names, ordered), path)
        done = {id: states[id] for id in ordered}
        write_json(out / RECORD, {"system": predictor.config.system, "made_by": made_by, "images": done})

    progress(len(rows))
    try:
        for case, values, _ in predictor.predict_cases(left):
            rows[case.id] = values
            progress(len(rows))
            if time.monotonic() - written > KEEP_SECONDS:
                keep()
                written = time.monotonic()
    except BaseException:
        if len(rows) > len(kept):
            keep()
        raise
    keep()
    return path


def identity_of(predictor: ClassificationPredictor) -> str:
    """What results follow from beside the image: weights, temperature and settings."""
    config = predictor.config
    parts = [weights_digest(predictor.network), f"{predictor.temperature:g}"]
    # where the training data lay does not matter
    settings = config.model_dump_json(include={"system", "network", "data", "inference"}, exclude={"data": {"root"}})
    return " ".join([*parts, settings])


def _finished(out: Path, made_by: str, states: dict[str, str]) -> dict[str, list[float]]:
    """Rows of an earlier table that still hold."""
    if not (out / RECORD).is_file() or not (out / FILE).is_file():
        return {}
    try:
        record, table = read_json(out / RECORD), read_table(out / FILE)
    except InputError:  # cut off or changed: done again
        return {}
    if not isinstance(record, dict) or record.get("made_by") != made_by or not isinstance(record.get("images"), dict):
        return {}
    before = record["images"]
    return {id: row for id, row in table.rows.items() if id in states and before.get(id) == states[id]}


def _state(case: Case) -> str:
    """Changes when an image's file does."""
    status = case.file.stat()
    place = f" {case.source.member} {case.source.index}" if isinstance(case.source, Packed) else ""
    return f"{case.file.name} {status.st_size} {status.st_mtime_ns}{place}"


def _within(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())
