"""Images worked through into files of detections; what is done stays when the work is stopped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.data.classification.case import Packed
from saccade.data.classification.read import is_picture
from saccade.data.detection.case import BoxDataset, Object, Scene
from saccade.data.detection.layouts import is_box_dataset, scan_box_dataset
from saccade.data.detection.voc import OBJECT_FOLDER, write_voc
from saccade.errors import InputError
from saccade.files import atomic, is_within
from saccade.tasks.classification.output import find_inputs
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.files import FILE, FORMAT, from_json, to_json, write_detections
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.output import Results, check_names, settings_of, state_of, still_holding, work_through
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
        for case in find_inputs([path], apart_from=apart_from):
            if isinstance(case.source, Packed):
                raise InputError(f"{case.source}: detectors take files of images, not packed ones.")
            scenes.append(Scene(case.id, case.source, ()))
    check_names([scene.id for scene in scenes], paths)
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
    found = _Detected(predictor, scenes, out, voc, draw)
    return work_through(found, overwrite=overwrite, progress=progress, say=say)


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


class _Detected(Results[Scene, Any]):
    """``predictions.json``, whose records of images are kept as they are written, the XML files and the pictures."""

    def __init__(
        self, predictor: DetectionPredictor, scenes: Sequence[Scene], out: Path, voc: bool, draw: Draw | None
    ) -> None:
        states = {scene.id: state_of(scene.image) for scene in scenes}
        super().__init__({scene.id: scene for scene in scenes}, states, out)
        self.predictor, self.voc, self.draw = predictor, voc, draw
        self.made_by = f"{weights_digest(predictor.network)} {settings_of(predictor.config)}"

    def take_over(self, *, overwrite: bool) -> None:
        if not overwrite:
            about = {"format": FORMAT, "made_by": self.made_by}
            self.found = still_holding(self.out / FILE, "scenes", about, self.states, _checked)

    def predict(self, left: Sequence[Scene]) -> Iterator[Any]:
        every = self.predictor.predict_all([scene.image for scene in left])
        for scene, found in zip(left, every, strict=True):
            yield to_json(scene.image, found)

    def complete(self, id: str, *, anew: bool) -> None:
        xml, picture = self.out / OBJECT_FOLDER / f"{id}.xml", self.out / PICTURES / f"{id}.png"
        if anew:
            xml.unlink(missing_ok=True)
            picture.unlink(missing_ok=True)
        found = from_json(self.found[id], id)
        if self.voc and not xml.exists():
            self._write_voc(self.inputs[id], found)
        if self.draw is not None and not picture.exists():
            content = self.draw(self.inputs[id].image, found)
            with atomic(picture) as temporary:
                temporary.write_bytes(content)

    def write(self, done: Sequence[str]) -> Path:
        states = {id: self.states[id] for id in done}
        about = {"system": self.predictor.config.system, "made_by": self.made_by, "states": states}
        write_detections(self.out / FILE, self.predictor.names, {id: self.found[id] for id in done}, about)
        return self.out / FILE

    def _write_voc(self, scene: Scene, found: Detections) -> None:
        more: Sequence[Mapping[str, str]] = found.more or [{}] * len(found)
        objects = tuple(
            Object(tuple(box), name, more={"score": f"{score:.6g}", **told})
            for box, name, score, told in zip(found.boxes.tolist(), found.names, found.scores, more, strict=True)
        )
        written = Scene(scene.id, scene.image, objects, found.size)
        write_voc(BoxDataset(self.out, "voc", (written,), self.predictor.names), self.out)


def _checked(said: Any, id: str) -> Any:
    """A record of an image, if it is one."""
    from_json(said, id)
    return said
