"""Images worked through into a table; what is done stays when the work is stopped."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from saccade.data.classification.case import Case, Packed
from saccade.data.classification.layouts import scan_image_dataset
from saccade.errors import InputError
from saccade.files import is_within, read_json, write_json
from saccade.tasks.classification.ensemble import EnsemblePredictor
from saccade.tasks.classification.evaluate import FILE
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table, read_table, write_table
from saccade.tasks.output import Results, check_names, settings_of, state_of, work_through
from saccade.tasks.weights import weights_digest

RECORD = "predictions.json"
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
    check_names([case.id for case in cases], paths)
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
    return work_through(_Said(predictor, cases, out, write_maps), overwrite=overwrite, progress=progress, say=say)


class _Said(Results[Case, list[float]]):
    """The rows of the table, and the files of maps beside it."""

    def __init__(self, predictor: Predictor, cases: Sequence[Case], out: Path, write_maps: WriteMaps | None) -> None:
        super().__init__({case.id: case for case in cases}, {case.id: _state(case) for case in cases}, out)
        self.predictor, self.write_maps = predictor, write_maps
        self.made_by = identity_of(predictor)
        self.maps: dict[str, list[str]] = {}

    def take_over(self, *, overwrite: bool) -> None:
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
            enough = self.write_maps is None or (files and all((self.out / name).is_file() for name in files))
            if same and id in table.rows and before.get(id) == state and enough:
                self.found[id] = table.rows[id]
                self.maps |= {id: files} if files else {}
            else:
                for name in files:
                    _remove(self.out, name)

    def predict(self, left: Sequence[Case]) -> Iterator[list[float]]:
        for _, values, _ in self.predictor.predict_cases(left):
            yield values

    def complete(self, id: str, *, anew: bool) -> None:
        if anew and self.write_maps is not None:
            self.maps[id] = [path.relative_to(self.out).as_posix() for path in self.write_maps(self.inputs[id])]

    def write(self, done: Sequence[str]) -> Path:
        config = self.predictor.config
        write_table(Table(config.data.kind, self.predictor.names, {id: self.found[id] for id in done}), self.out / FILE)
        about = {"system": config.system, "made_by": self.made_by}
        write_json(self.out / RECORD, {**about, "images": {id: self.states[id] for id in done}, "maps": self.maps})
        return self.out / FILE


def identity_of(predictor: Predictor) -> str:
    """What results follow from beside the image: weights, temperature and settings of each network."""
    members = predictor.members if isinstance(predictor, EnsemblePredictor) else [predictor]
    return " ".join(f"{weights_digest(one.network)} {one.temperature:g} {settings_of(one.config)}" for one in members)


def _names(listed: object) -> list[str]:
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _remove(out: Path, name: str) -> None:
    """Remove a map, but nothing else: the record is a file that anybody may edit."""
    path = out / name
    if is_within(path, out) and path.suffix in (".gz", ".png"):
        path.unlink(missing_ok=True)


def _state(case: Case) -> str:
    packed = f" {case.source.member} {case.source.index}" if isinstance(case.source, Packed) else ""
    return state_of(case.file) + packed
