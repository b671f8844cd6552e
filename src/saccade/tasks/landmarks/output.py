"""Images worked through into files of landmarks; what is done stays when the work is stopped."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.data.classification.case import Packed
from saccade.data.landmarks.layouts import is_landmark_dataset, scan_landmark_dataset
from saccade.errors import InputError
from saccade.files import atomic, is_within, read_json
from saccade.landmarks.crf import LandmarkCRF
from saccade.tasks.claims import Claims
from saccade.tasks.classification import output as images
from saccade.tasks.landmarks.files import FORMAT, JSON, from_json, write_points
from saccade.tasks.landmarks.predictor import Landmarks, LandmarksPredictor
from saccade.tasks.weights import weights_digest

PICTURES = "pictures"
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
        if is_landmark_dataset(path):
            dataset = scan_landmark_dataset(path)
            for fault in dataset.faults:
                if fault.kind == "missing file":
                    raise InputError(str(fault))
            found += [Input(c.id, c.source) for c in dataset.cases if not is_within(c.source, apart_from)]
            continue
        for case in images.find_inputs([path], apart_from=apart_from):
            if isinstance(case.source, Packed):
                raise InputError(f"{case.source}: landmarks are found in files of images, not in packed ones.")
            found.append(Input(case.id, case.source))
    for id, count in Counter(one.id for one in found).items():
        if count > 1:
            raise InputError(f"predict: each image must have a name of its own, {count} are called {id}.")
    if not found:
        raise InputError(f"predict: must get images, found none in {', '.join(map(str, paths))}.")
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
    """Write ``points.json`` and ``points.csv``, and for each image a picture where these are wanted.

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
    was_there = out.exists()
    try:
        with Claims(out / images.CLAIMS).wait("predictions"):
            work = _Work(predictor, inputs, out, draw)
            if not overwrite:
                work.take_over(say)
            return work.finish(progress)
    finally:
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


class _Work:
    """What the files hold so far."""

    def __init__(self, predictor: LandmarksPredictor, inputs: Sequence[Input], out: Path, draw: Draw | None) -> None:
        self.predictor, self.inputs, self.out, self.draw = predictor, inputs, out, draw
        self.made_by = identity_of(predictor)
        self.states = {one.id: _state(one.source) for one in inputs}
        self.found: dict[str, Landmarks] = {}

    def take_over(self, say: Callable[[str], None]) -> None:
        """Keep what earlier files say that still holds."""
        try:
            before = read_json(self.out / JSON)
            if before["format"] != FORMAT or before["made_by"] != self.made_by:
                return
            for id, state in self.states.items():
                if id in before["cases"] and before["states"].get(id) == state:
                    self.found[id] = from_json(before["cases"][id], id)
        except (InputError, KeyError, TypeError, AttributeError):  # none, cut off or changed: done again
            self.found = {}
        if self.found:
            count = f"{len(self.found)} of {len(self.inputs)} images"
            say(f"{count}: finished before, skipped; --overwrite does them again")

    def finish(self, progress: Callable[[int], None]) -> Path:
        """Do what is left."""
        for one in self.inputs:
            if one.id in self.found and not self._picture(one).exists():
                self._paint(one)
        left = [one for one in self.inputs if one.id not in self.found]
        before, written = len(self.found), time.monotonic()
        progress(before)
        try:
            every = self.predictor.predict_all([one.source for one in left])
            for one, found in zip(left, every, strict=True):
                self._picture(one).unlink(missing_ok=True)
                self.found[one.id] = found
                self._paint(one)
                progress(len(self.found))
                if time.monotonic() - written > images.KEEP_SECONDS:
                    self._write()
                    written = time.monotonic()
        except BaseException:
            if len(self.found) > before:
                self._write()
            raise
        return self._write()

    def _write(self) -> Path:
        ordered = {one.id: self.found[one.id] for one in self.inputs if one.id in self.found}
        states = {id: self.states[id] for id in ordered}
        about = {"system": self.predictor.config.system, "made_by": self.made_by, "states": states}
        write_points(ordered, {one.id: one.source for one in self.inputs}, self.out, about)
        return self.out / JSON

    def _paint(self, one: Input) -> None:
        if self.draw is not None:
            content = self.draw(one.source, self.found[one.id])
            with atomic(self._picture(one)) as temporary:
                temporary.write_bytes(content)

    def _picture(self, one: Input) -> Path:
        return self.out / PICTURES / f"{one.id}.png"


def identity_of(predictor: LandmarksPredictor) -> str:
    """What results follow from beside the image: weights, CRF and settings; where the training data lay does not
    matter."""
    include, exclude = {"system", "network", "data", "inference"}, {"data": {"root"}}
    settings = predictor.config.model_dump_json(include=include, exclude=exclude)
    return f"{weights_digest(predictor.network)} {_digest(predictor.crf)} {settings}"


def _digest(crf: LandmarkCRF | None) -> str:
    return "none" if crf is None else hashlib.sha256(json.dumps(crf.as_dict()).encode()).hexdigest()[:16]


def _state(source: Path) -> str:
    """Changes when an image's file does."""
    status = source.stat()
    return f"{source.name} {status.st_size} {status.st_mtime_ns}"
