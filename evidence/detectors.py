"""What every study of detection shares: a system trained by the command line and scored on images it has not seen.

Average precision belongs to a set of images, not to one: intervals draw images with replacement, the same draws for
every run, and the runs of several seeds are averaged within each draw.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import once, saccade
from sklearn.cluster import KMeans

import saccade as library
from saccade.data.detection.case import Scene
from saccade.data.detection.layouts import find_box_dataset
from saccade.files import read_json
from saccade.layers.boxes import jaccard
from saccade.metrics.detection import ap50_of_draws
from saccade.metrics.detection_match import Found
from saccade.study.cost import measure_cost
from saccade.tasks.detection.evaluate import found_of, score_scenes, truth_of
from saccade.tasks.detection.files import FILE, read_detections
from saccade.tasks.detection.frame import read_framed
from saccade.tasks.settings import read_yaml

# Weights are the latest, not the best on the held-out images: nothing is chosen by looking at them.
EQUAL = ("training.keep=last", "training.precision=32-true", "training.loggers=[csv]")
KEPT = ("ap50", "ap", "sensitivity")
Result = dict[str, Any]


def run(
    system: str,
    train: Path,
    *,
    work: Path,
    part: str,
    seed: int,
    test: Path | None = None,
    settings: Sequence[str] = (),
    options: Sequence[object] = (),
) -> Result:
    """One system trained with one seed and scored on images that it has not seen.

    Args:
        system: As on the command line.
        train: Data set to train on.
        work: Folder for the run.
        part: Name under which the result is kept.
        seed: Of the training.
        test: Another data set to score; None for the images that the run held out, which nothing was chosen by.
        settings: ``name=value``, as behind ``--set``.
        options: What else the command line takes.

    Returns:
        ``summary`` and ``per_class`` scores, ``draws`` (AP50 over all images, then over each draw of images),
        ``training`` (the run's summary), ``forward_pass`` of one image, and ``network``.
    """
    command = ["train", system, "--data", train, "--out", work / part, *options]
    command += [word for setting in (f"training.seed={seed}", *EQUAL, *settings) for word in ("--set", setting)]
    return once(part, lambda: _train_and_score(command, work / part, train, test))


def _train_and_score(command: Sequence[object], folder: Path, train: Path, test: Path | None) -> Result:
    if not (folder / "summary.json").is_file():  # else only its scores are missing
        going_on = (folder / "last.ckpt").is_file()
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        saccade(*command, *(["--resume"] if going_on else []))
    predictor: Any = library.load(folder)
    dataset = find_box_dataset(test or train)
    if test is None:
        found = dict(read_detections(folder / "validation" / FILE, dataset).found)
        scenes = [scene for scene in dataset.scenes if scene.id in found]
    else:
        scenes = list(dataset.scenes)
        images = predictor.predict_all([scene.image for scene in scenes])
        found = {scene.id: said for scene, said in zip(scenes, images, strict=True)}
    scored = score_scenes(found, scenes, predictor.names)
    said = {id: found_of(detections, 4, id) for id, detections in found.items()}
    return {
        "summary": {name: scored["summary"][name] for name in KEPT},
        "per_class": {name: one["ap50"]["value"] for name, one in scored["summary"]["per_class"].items()},
        "draws": draws_of(said, scenes, predictor.names),
        "training": read_json(folder / "summary.json"),
        "forward_pass": _cost(predictor),
        "network": read_yaml(folder / "config.yaml")["network"],
    }


def draws_of(found: dict[str, Found], scenes: Sequence[Scene], names: Sequence[str]) -> list[float]:
    """AP50 over all images, then over each draw of them."""
    truth = {scene.id: truth_of(scene, 4) for scene in scenes}
    return [
        round(float(value), 5) for value in ap50_of_draws({scene.id: found[scene.id] for scene in scenes}, truth, names)
    ]


def _cost(predictor: Any) -> Result:
    return measure_cost(predictor.network, (1, *predictor.config.input_shape)).as_dict()


def mean_draws(results: Sequence[Result]) -> np.ndarray:
    """AP50 of all images, then of each draw, averaged over seeds."""
    return np.mean([result["draws"] for result in results], 0)


def arm(results: Sequence[Result]) -> Result:
    """One system over its seeds: mean AP50 with an interval over images, each seed's scores, and the cost."""
    draws = mean_draws(results)
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    return {
        "score": float(draws[0]),
        "interval_95": [float(low), float(high)],
        "ap50_of_seeds": [result["draws"][0] for result in results],
        "ap_of_seeds": [result["summary"]["ap"]["value"] for result in results],
        "per_class": {
            name: float(np.mean([result["per_class"][name] for result in results])) for name in results[0]["per_class"]
        },
        "parameters": results[0]["training"]["parameters"],
        "steps": [result["training"]["steps"] for result in results],
        "training_seconds": [result["training"]["training_seconds"] for result in results],
        "forward_pass": {
            key: results[0]["forward_pass"][key] for key in ("gflop", "seconds", "input_shape", "threads")
        },
        "network": results[0]["network"],
    }


def against(results: Sequence[Result], control: Sequence[Result], cases: int) -> Result:
    """The part of a record that says who was better, on the same draws of images."""
    first, second = mean_draws(results), mean_draws(control)
    low, high = np.quantile((first - second)[1:], (0.025, 0.975))
    verdict = "difference not shown: the interval includes zero"
    if low > 0 or high < 0:
        verdict = f"{'higher' if low > 0 else 'lower'}: the interval excludes zero"
    return {
        "score": float(first[0]),
        "control_score": float(second[0]),
        "difference": float(first[0] - second[0]),
        "interval_95": [float(low), float(high)],
        "difference_of_seeds": [a["draws"][0] - b["draws"][0] for a, b in zip(results, control, strict=True)],
        "verdict": verdict,
        "cases": cases,
    }


def constant_boxes(
    train: Sequence[Scene], unseen: Sequence[Scene], names: Sequence[str], most: int = 24
) -> list[float]:
    """AP50, and its draws, of the same boxes in every image: where objects usually lie, without looking.

    Boxes are, class by class, the middles of clusters of the training boxes in parts of the image, as sure as the share
    of training images in which one of that class is overlapped by half.
    """
    by_class: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for scene in train:
        for name in names:
            boxes = [item.box for item in scene.objects if item.name == name]
            if boxes:
                by_class[name][scene.id] = np.array(boxes) / sides_of(scene)
    rows: list[tuple[np.ndarray, float, str]] = []
    for name, of_images in by_class.items():
        every = np.concatenate(list(of_images.values()))
        middles = KMeans(min(most, len(every)), n_init=3, random_state=0).fit(every).cluster_centers_
        overlaps = [jaccard(torch.tensor(middles), torch.tensor(boxes)).amax(1) > 0.5 for boxes in of_images.values()]
        sure = torch.stack(overlaps).sum(0).numpy() / len(train)
        rows += [(box, float(score), name) for box, score in zip(middles, sure, strict=True)]
    boxes, scores, said = (np.array(part) for part in zip(*rows, strict=True))
    found = {scene.id: Found(boxes * sides_of(scene), scores, tuple(said.tolist())) for scene in unseen}
    return draws_of(found, unseen, names)


def sides_of(scene: Scene) -> np.ndarray:
    """Columns and rows of a scene's picture, twice, for both corners of a box."""
    image, _, _ = read_framed(scene.image, (1, 1))
    return np.array([image.space[1], image.space[0]] * 2, float)


def split_of(folder: Path, data: Path) -> tuple[list[Scene], list[Scene]]:
    """The scenes that a run learnt from, and those that it held out."""
    split = json.loads((folder / "splits.json").read_text("utf-8"))
    dataset = find_box_dataset(data)
    train, held_out = ([dataset.scene(id) for id in split[part]] for part in ("train", "validation"))
    return train, held_out
