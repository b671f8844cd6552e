"""The training of a detector: prepare the images, train, detect what was held out, score it."""

from pathlib import Path
from typing import Any

import torch

from saccade.files import write_json
from saccade.systems import find_implementation
from saccade.tasks.batches import make_loaders
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import ChangedScenes, PreparedScenes, collate
from saccade.tasks.detection.evaluate import score_scenes
from saccade.tasks.detection.files import FILE, to_json, write_detections
from saccade.tasks.detection.module import SCORE, DetectionModule
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.devices import Devices
from saccade.tasks.fitting import Job, Say, fit_module, steps_of_epoch
from saccade.tasks.prepared import prepare_all
from saccade.tasks.seeding import kept_generators, seed_generators

HELD_OUT = Path("validation")


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config: DetectionConfig = job.config
    seed_generators(config.training.seed)
    prepared, held_out = PreparedScenes(job.train, config), PreparedScenes(job.validation, config)
    prepare_all((prepared, held_out), say)
    steps = steps_of_epoch(job)
    system = find_implementation(config.system, config.network, config.task)
    module = DetectionModule(network, config, steps, system, held_out)
    loaders = make_loaders(ChangedScenes(prepared), held_out, steps, (rank, devices.size), collate=collate)
    return fit_module(job, module, loaders, score=SCORE, devices=devices, rank=rank, say=say)


def finish(job: Job, network: torch.nn.Module, *, device: str, say: Say) -> tuple[DetectionPredictor, dict[str, Any]]:
    """Detect and score with the kept weights what was held out."""
    predictor = DetectionPredictor(network, job.config, device=device)
    return predictor, _detect_held_out(predictor, job, say) if job.validation else {}


def _detect_held_out(predictor: DetectionPredictor, job: Job, say: Say) -> dict[str, Any]:
    """Detections in the held-out images and their scores go into the run's ``validation/``; the scores come back."""
    held_out = PreparedScenes(job.validation, job.config)
    images = [scene.image for scene in held_out.cases]
    scenes = [held_out.scene(number, predictor.system) for number in range(len(images))]
    found = {scene.id: said for scene, said in zip(scenes, predictor.predict_all(images), strict=True)}
    records = {scene.id: to_json(scene.image, found[scene.id]) for scene in scenes}
    result = score_scenes(found, scenes, predictor.names)
    write_detections(job.run / HELD_OUT / FILE, predictor.names, records)
    write_json(job.run / HELD_OUT / "metrics.json", result)
    scores = {name: result["summary"][name]["value"] for name in ("ap50", "ap", "sensitivity")}
    say(f"found objects in {len(scenes)} held-out images: AP50 {scores['ap50']:.3f}")
    return scores
