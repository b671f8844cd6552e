"""Images worked through into files of detections; what is done stays when the work is stopped."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.data.classification.case import Packed
from saccade.data.classification.read import is_picture
from saccade.data.detection.case import BoxDataset, Object, Scene
from saccade.data.detection.layouts import is_box_dataset, scan_box_dataset
from saccade.data.detection.voc import OBJECT_FOLDER, write_voc
from saccade.errors import InputError
from saccade.files import atomic, is_within, read_json
from saccade.tasks.claims import Claims
from saccade.tasks.classification import output as images
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.files import FILE, FORMAT, from_json, to_json, write_detections
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.weights import weights_digest

PICTURES = "pictures"
Draw = Callable[[Path, Detections], bytes]


def find_scenes(paths: Sequence[Path], *, apart_from: Path | None = None) -> list[Scene]:
    """The images behind paths: of files, folders of them, and data sets in any layout; true objects are left out.

    Args:
        paths: As the user gave them.
        apart_from: A folder of results, which may lie within.

    Raises:
        InputError: If there is no image, a file names one that is not there, or two have one name.
    """
    scenes: list[Scene] = []
    for path in paths:
        if is_box_dataset(path):
            dataset = scan_box_dataset(path)
            for fault in dataset.faults:
                if fault.kind in ("missing file", "unreadable"):
                    raise InputError(str(fault))
            found = [replace(scene, objects=()) for scene in dataset.scenes]
            scenes += [scene for scene in found if not is_within(scene.image, apart_from)]
            continue
        for case in images.find_inputs([path], apart_from=apart_from):
            if isinstance(case.source, Packed):
                raise InputError(f"{case.source}: detectors take files of images, not packed ones.")
            scenes.append(Scene(case.id, case.source, ()))
    for id, count in Counter(scene.id for scene in scenes).items():
        if count > 1:
            raise InputError(f"predict: each image must have a name of its own, {count} are called {id}.")
    if not scenes:
        raise InputError(f"predict: must get images, found none in {', '.join(map(str, paths))}.")
    return scenes


def predict_scenes(
    predictor: DetectionPredictor,
    scenes: Sequence[Scene],
    out: Path,
    *,
    voc: bool = False,
    draw: Draw | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write ``predictions.json``, and for each image an XML file and a picture where they are wanted.

    The file is written again every few seconds, whole each time, with a record of what made it: images that are in it,
    unchanged and by the same weights and settings, are not done again. Of several processes one works, the others wait.

    Args:
        predictor: A trained network.
        scenes: From `find_scenes`.
        out: The folder.
        voc: Whether to write ``Annotations/<image>.xml``, Pascal VOC with ``score``.
        draw: Gives the content of ``pictures/<image>.png``; None for no pictures.
        overwrite: Do all again.
        progress: Called with how many are done.
        say: Gets a line for those that were finished before.

    Returns:
        The file.

    Raises:
        InputError: If an image cannot be used, or Pascal VOC cannot hold them.
    """
    if voc:
        check_voc(scenes)
    was_there = out.exists()
    try:
        with Claims(out / images.CLAIMS).wait("predictions"):
            return _work(_Progress(predictor, scenes, out, voc, draw), overwrite, progress, say)
    finally:
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def check_voc(scenes: Sequence[Scene]) -> None:
    """Nothing, if Pascal VOC can hold objects of these images.

    Raises:
        InputError: Otherwise.
    """
    for scene in scenes:
        if not is_picture(scene.image):
            raise InputError(f"{scene.image}: Pascal VOC holds boxes of pictures; leave --voc out.")
        if "/" in scene.id:
            raise InputError(f"{scene.image}: Pascal VOC has one folder and no folders in it; leave --voc out.")


class _Progress:
    """What the file holds so far."""

    def __init__(
        self, predictor: DetectionPredictor, scenes: Sequence[Scene], out: Path, voc: bool, draw: Draw | None
    ) -> None:
        self.predictor, self.scenes, self.out, self.voc, self.draw = predictor, scenes, out, voc, draw
        self.made_by = identity_of(predictor)
        self.states = {scene.id: _state(scene) for scene in scenes}
        self.found: dict[str, dict[str, Any]] = {}

    def take_over(self) -> None:
        """Keep what an earlier file says that still holds."""
        try:
            before = read_json(self.out / FILE)
            if before["format"] != FORMAT or before["made_by"] != self.made_by:
                return
            for scene in self.scenes:
                said = before["scenes"].get(scene.id)
                if said is not None and before["states"].get(scene.id) == self.states[scene.id]:
                    from_json(said, scene.id)
                    self.found[scene.id] = said
        except (InputError, KeyError, TypeError, AttributeError):  # none, cut off or changed: done again
            self.found = {}

    def add(self, scene: Scene, found: Detections) -> None:
        """Take an image's detections; what was written of it before goes."""
        for path in self._files(scene):
            path.unlink(missing_ok=True)
        self.found[scene.id] = to_json(scene.image, found)
        self.write_files(scene)

    def write_files(self, scene: Scene) -> None:
        """Write the XML file and the picture of an image, where they are wanted and not there."""
        xml, picture = self._files(scene)
        found = from_json(self.found[scene.id], scene.id)
        if self.voc and not xml.exists():
            objects = tuple(
                Object(tuple(box), name, more={"score": f"{score:.6g}", **more})
                for box, name, score, more in zip(
                    found.boxes.tolist(), found.names, found.scores, found.more or [{}] * len(found), strict=True
                )
            )
            written = Scene(scene.id, scene.image, objects, found.size)
            write_voc(BoxDataset(self.out, "voc", (written,), self.predictor.names), self.out)
        if self.draw is not None and not picture.exists():
            content = self.draw(scene.image, found)
            with atomic(picture) as temporary:
                temporary.write_bytes(content)

    def write(self) -> Path:
        """Write the file, in the order of the images."""
        ordered = {scene.id: self.found[scene.id] for scene in self.scenes if scene.id in self.found}
        states = {id: self.states[id] for id in ordered}
        about = {"system": self.predictor.config.system, "made_by": self.made_by, "states": states}
        write_detections(self.out / FILE, self.predictor.names, ordered, about)
        return self.out / FILE

    def _files(self, scene: Scene) -> tuple[Path, Path]:
        return self.out / OBJECT_FOLDER / f"{scene.id}.xml", self.out / PICTURES / f"{scene.id}.png"


def _work(found: _Progress, overwrite: bool, progress: Callable[[int], None], say: Callable[[str], None]) -> Path:
    if not overwrite:
        found.take_over()
    before = len(found.found)
    if before:
        say(f"{before} of {len(found.scenes)} images: finished before, skipped; --overwrite does them again")
    for scene in found.scenes:
        if scene.id in found.found:
            found.write_files(scene)
    left = [scene for scene in found.scenes if scene.id not in found.found]
    written = time.monotonic()
    progress(before)
    try:
        every = found.predictor.predict_all([scene.image for scene in left])
        for scene, said in zip(left, every, strict=True):
            found.add(scene, said)
            progress(len(found.found))
            if time.monotonic() - written > images.KEEP_SECONDS:
                found.write()
                written = time.monotonic()
    except BaseException:
        if len(found.found) > before:
            found.write()
        raise
    return found.write()


def identity_of(predictor: DetectionPredictor) -> str:
    """What results follow from beside the image: weights and settings; where the training data lay does not matter."""
    include, exclude = {"system", "network", "data", "inference"}, {"data": {"root"}}
    settings = predictor.config.model_dump_json(include=include, exclude=exclude)
    return f"{weights_digest(predictor.network)} {settings}"


def _state(scene: Scene) -> str:
    """Changes when an image's file does."""
    status = scene.image.stat()
    return f"{scene.image.name} {status.st_size} {status.st_mtime_ns}"
