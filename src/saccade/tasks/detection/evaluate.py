"""Scores of detections against the true objects, whatever tool made them."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.detection.case import BoxDataset, Scene
from saccade.data.detection.layouts import find_box_dataset
from saccade.errors import InputError
from saccade.metrics.description import score_descriptions
from saccade.metrics.detection import compare_detections, score_detections
from saccade.metrics.detection_match import Found, Truth, judge
from saccade.tasks.classification.evaluate import match_ids
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.files import Predicted, read_detections

DOUBTFUL = 0.5  # what is less sure is not shown where nothing says what works best
Say = Callable[[str], None]


def evaluate_detections(
    predictions: Path,
    truth: Path,
    *,
    against: Path | None = None,
    missing: str = "fail",
    seed: int = 0,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Score a file or folder of detections.

    Images are matched by their id: the whole of it, else the end of a path that only one image of the truth has.

    Args:
        predictions: What `read_detections` reads.
        truth: A data set of boxes in any layout.
        against: Other detections in the same images, for a paired comparison.
        missing: What becomes of an image of the truth without an entry: ``fail``, ``worst`` (nothing was found in it),
            or ``skip`` leaves it out.
        seed: Of the bootstrap.
        say: Gets a line about what is left out.

    Returns:
        As `score_scenes`, with ``"against"`` where that is wanted: the scores of `compare_detections` over the images
        that both have.

    Raises:
        InputError: If something cannot be read, no image is in both, or images have no entry.
    """
    dataset = find_box_dataset(truth)
    found = _of_scenes(predictions, dataset, missing, say)
    result = score_scenes(found, dataset.scenes, dataset.names, seed=seed)
    if against is not None:
        other = _of_scenes(
            against, dataset, "worst" if missing == "worst" else "skip", lambda line: say(f"{against}: {line}")
        )
        result["against"] = {"other": str(against), **_compare(found, other, dataset, seed)}
    return result


def score_scenes(
    found: Mapping[str, Detections], scenes: Sequence[Scene], names: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Scores of the detections in images.

    Args:
        found: Image -> detections; images that are not there do not count.
        scenes: With the true objects.
        names: The classes.
        seed: Of the bootstrap.

    Returns:
        ``{"task", "classes", "summary", "curves", "working_point", "cases"}``: summary, with ``per_class`` in it, and
        working point of `score_detections`; ``curves``: class -> (recall, precision); ``cases``: of each image its
        objects, and the hits, missed and false positives at the working point. Where detections and objects are
        described, the scores of `score_descriptions` stand in the summary, with ``per_descriptor``, and in the cases.

    Raises:
        InputError: If boxes have other numbers of axes than the true ones.
    """
    chosen = [scene for scene in scenes if scene.id in found]
    dims = next((len(item.box) for scene in scenes for item in scene.objects), 4)
    said = {scene.id: found_of(found[scene.id], dims, scene.id) for scene in chosen}
    truth = {scene.id: truth_of(scene, dims) for scene in chosen}
    scored = score_detections(said, truth, names, seed=seed)
    curves = {name: scores.pop("curve") for name, scores in scored["per_class"].items()}
    least = shown_from(scored["working_point"])
    described = score_descriptions(
        said,
        {id: found[id].more or [{}] * len(found[id]) for id in said},
        truth,
        {scene.id: [item.more for item in scene.objects] for scene in chosen},
    )
    summary = {**scored["summary"], "per_class": scored["per_class"]}
    cases = {id: _counted(said[id], truth[id], names, least) for id in said}
    if described is not None:
        summary |= {**described["summary"], "per_descriptor": described["per_descriptor"]}
        cases = {id: {**case, **described["cases"][id]} for id, case in cases.items()}
    return {
        "task": "detection",
        "classes": list(names),
        "summary": summary,
        "curves": curves,
        "working_point": scored["working_point"],
        "cases": cases,
    }


def found_of(detections: Detections, dims: int, id: str) -> Found:
    """Detections as the scores take them.

    Raises:
        InputError: If their boxes are not of ``dims`` numbers.
    """
    if len(detections) and detections.boxes.shape[1] != dims:
        raise InputError(f"{id}: boxes must have {dims} numbers, as the true ones, got {detections.boxes.shape[1]}.")
    return Found(np.asarray(detections.boxes, float).reshape(-1, dims), detections.scores, detections.names)


def truth_of(scene: Scene, dims: int) -> Truth:
    """An image's objects as the scores take them."""
    return Truth(
        np.array([item.box for item in scene.objects], float).reshape(-1, dims),
        tuple(item.name for item in scene.objects),
        np.array([item.difficult for item in scene.objects], bool),
        np.array([item.crowd for item in scene.objects], bool),
    )


def shown_from(working_point: Mapping[str, Any]) -> float:
    """How sure a detection must be to be counted or shown: the working point's score, else one half."""
    score = working_point["score"]
    return DOUBTFUL if score is None or math.isnan(score) else float(score)


def at_least(found: Found, score: float) -> Found:
    """The detections that are so sure."""
    kept = found.scores >= score
    names = tuple(name for name, keep in zip(found.names, kept, strict=True) if keep)
    return Found(found.boxes[kept], found.scores[kept], names)


def _counted(said: Found, truth: Truth, names: Sequence[str], least: float) -> dict[str, int]:
    states, reached = judge(at_least(said, least), truth)
    counts = ~truth.ignored & np.isin(truth.names, names)
    return {
        "objects": int(counts.sum()),
        "hits": int((states == 1).sum()),
        "missed": int((counts & ~reached).sum()),
        "false_positives": int((states == 0).sum()),
    }


def _of_scenes(path: Path, dataset: BoxDataset, missing: str, say: Say) -> dict[str, Detections]:
    """The detections in each image of the truth; of classes that the truth has."""
    predicted = read_detections(path, dataset)
    matched = match_ids(list(predicted.found), [scene.id for scene in dataset.scenes])
    if not matched and not predicted.complete:
        some = ", ".join(list(predicted.found)[:3]) or "none", ", ".join(scene.id for scene in dataset.scenes[:3])
        raise InputError(f"{path}: no image is in the truth; predicted are {some[0]}, true are {some[1]}.")
    absent = [scene.id for scene in dataset.scenes if scene.id not in matched]
    if absent and not predicted.complete:
        _tell_absent(path, absent, missing, say)
    if without := len(predicted.found) - len(matched):
        say(f"no truth for {without} image(s): left out")
    found = {id: _known(predicted.found[name], dataset.names) for id, name in matched.items()}
    if predicted.complete or missing == "worst":
        found |= {id: Detections(np.zeros((0, 4)), np.zeros(0), ()) for id in absent}
    _check_classes(path, predicted, dataset, say)
    return found


def _tell_absent(path: Path, absent: list[str], missing: str, say: Say) -> None:
    if missing == "fail":
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(
            f"{path}: must have an entry for every image, has none for {shown}. --missing skip leaves them out."
        )
    say(f"no prediction for {len(absent)} image(s): {'left out' if missing == 'skip' else 'nothing found there'}")


def _check_classes(path: Path, predicted: Predicted, dataset: BoxDataset, say: Say) -> None:
    """What the truth has, the detector must know; what the truth has not, does not count, and that is said."""
    if predicted.classes is not None:
        for name in dataset.names:
            if name not in predicted.classes:
                raise InputError(f"{path}: must know the truth's class '{name}', knows {', '.join(predicted.classes)}.")
    strange = dict.fromkeys(n for one in predicted.found.values() for n in one.names if n not in dataset.names)
    if strange:
        say(f"detections of what the truth has no class for are left out: {', '.join(strange)}")


def _known(detections: Detections, names: Sequence[str]) -> Detections:
    kept = np.array([name in names for name in detections.names], bool)
    said = tuple(name for name in detections.names if name in names)
    more = tuple(of_one for of_one, keep in zip(detections.more, kept, strict=bool(detections.more)) if keep)
    return Detections(detections.boxes[kept], detections.scores[kept], said, more, detections.size)


def _compare(
    first: Mapping[str, Detections], second: Mapping[str, Detections], dataset: BoxDataset, seed: int
) -> dict[str, Any]:
    shared = [scene for scene in dataset.scenes if scene.id in first and scene.id in second]
    if not shared:
        raise InputError("against: both must have detections in the same images, there is none in both.")
    dims = next((len(item.box) for scene in dataset.scenes for item in scene.objects), 4)
    here, there = ({scene.id: found_of(side[scene.id], dims, scene.id) for scene in shared} for side in (first, second))
    truth = {scene.id: truth_of(scene, dims) for scene in shared}
    return {
        "cases": len(shared),
        "left_out": {
            "only_here": [id for id in first if id not in second],
            "only_there": [id for id in second if id not in first],
        },
        "scores": compare_detections([here], [there], truth, dataset.names, seed=seed),
    }
