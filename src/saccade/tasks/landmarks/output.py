"""Images worked through into files of landmarks; what is done stays when the work is stopped."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.data.classification.case import Packed
from saccade.data.landmarks.layouts import is_landmark_dataset, scan_landmark_dataset
from saccade.data.landmarks.markups import JSON as MARKUPS_JSON
from saccade.data.landmarks.markups import find_markups, write_markups
from saccade.errors import InputError
from saccade.files import atomic, is_within
from saccade.landmarks.crf import LandmarkCRF
from saccade.tasks.classification.output import find_inputs
from saccade.tasks.landmarks.files import FORMAT, JSON, from_json, write_points
from saccade.tasks.landmarks.predictor import Landmarks, LandmarksPredictor
from saccade.tasks.output import Results, check_names, settings_of, state_of, still_holding, work_through
from saccade.tasks.weights import weights_digest

PICTURES, MARKUPS = "pictures", "markups"
Draw = Callable[[Path, Landmarks], bytes]


@dataclass(frozen=True)
class Input:
    """An image to be worked on.

    Attributes:
        id: Its name in the results.
        source: Its file.
    """

    id: str
    source: Path


def find_images(paths: Sequence[Path], *, apart_from: Path | None = None) -> list[Input]:
    """The images behind paths: of files, folders of them, and data sets in any layout; true landmarks are left out.

    Args:
        paths: As the user gave them.
        apart_from: A folder of results, which may lie within.

    Raises:
        InputError: If there is no image, a file names one that is not there, or two have one name.
    """
    found: list[Input] = []
    for path in paths:
        if is_landmark_dataset(path) and not find_markups(path):  # where images without points are as good
            dataset = scan_landmark_dataset(path)
            for fault in dataset.faults:
                if fault.kind == "missing file":
                    raise InputError(str(fault))
            found += [Input(c.id, c.source) for c in dataset.cases if not is_within(c.source, apart_from)]
            continue
        for case in find_inputs([path], apart_from=apart_from):
            if isinstance(case.source, Packed):
                raise InputError(f"{case.source}: landmarks are found in files of images, not in packed ones.")
            found.append(Input(case.id, case.source))
    check_names([one.id for one in found], paths)
    return found


def predict_landmarks(
    predictor: LandmarksPredictor,
    inputs: Sequence[Input],
    out: Path,
    *,
    draw: Draw | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write ``points.json`` and ``points.csv``; of each volume ``markups/<image>.mrk.json``, which 3D Slicer opens; and
    of each image a picture where these are wanted.

    The files are written again every few seconds, whole each time, with a record of what made them: images that are in
    them, unchanged and by the same weights and settings, are not done again. Of several processes one works, the others
    wait.

    Args:
        predictor: A trained network with its CRF.
        inputs: From `find_images`.
        out: The folder.
        draw: Gives the content of ``pictures/<image>.png``; None for no pictures.
        overwrite: Do all again.
        progress: Called with how many are done.
        say: Gets a line for those that were finished before.

    Returns:
        ``points.json``.

    Raises:
        InputError: If an image cannot be used.
    """
    return work_through(_Points(predictor, inputs, out, draw), overwrite=overwrite, progress=progress, say=say)


class _Points(Results[Input, Landmarks]):
    """``points.json``, ``points.csv`` and the pictures."""

    def __init__(self, predictor: LandmarksPredictor, inputs: Sequence[Input], out: Path, draw: Draw | None) -> None:
        super().__init__({one.id: one for one in inputs}, {one.id: state_of(one.source) for one in inputs}, out)
        self.predictor, self.draw, self.made_by = predictor, draw, identity_of(predictor)

    def take_over(self, *, overwrite: bool) -> None:
        if not overwrite:
            about = {"format": FORMAT, "made_by": self.made_by}
            self.found = still_holding(self.out / JSON, "cases", about, self.states, from_json)

    def predict(self, left: Sequence[Input]) -> Iterator[Landmarks]:
        yield from self.predictor.predict_all([one.source for one in left])

    def complete(self, id: str, *, anew: bool) -> None:
        picture = self.out / PICTURES / f"{id}.png"
        if anew:
            picture.unlink(missing_ok=True)
        if self.draw is not None and not picture.exists():
            content = self.draw(self.inputs[id].source, self.found[id])
            with atomic(picture) as temporary:
                temporary.write_bytes(content)

        found = self.found[id]
        if found.points.shape[1] == 3:  # of a volume
            about = dict(zip(found.names, found.labels, strict=True))
            write_markups(self.out / MARKUPS / f"{id}{MARKUPS_JSON}", found.as_dict(), about)

    def write(self, done: Sequence[str]) -> Path:
        states = {id: self.states[id] for id in done}
        about = {"system": self.predictor.config.system, "made_by": self.made_by, "states": states}
        sources = {id: one.source for id, one in self.inputs.items()}
        write_points({id: self.found[id] for id in done}, sources, self.out, about)
        return self.out / JSON


def identity_of(predictor: LandmarksPredictor) -> str:
    """What results follow from beside the image: weights, CRF and settings."""
    return f"{weights_digest(predictor.network)} {_digest(predictor.crf)} {settings_of(predictor.config)}"


def _digest(crf: LandmarkCRF | None) -> str:
    return "none" if crf is None else hashlib.sha256(json.dumps(crf.as_dict()).encode()).hexdigest()[:16]
