"""The training of a detector: prepare the images, train, detect what was held out, score it."""

import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from saccade.files import write_json
from saccade.systems import find_implementation
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import ChangedScenes, Numbered, PreparedScenes, collate
from saccade.tasks.detection.evaluate import score_scenes
from saccade.tasks.detection.files import FILE, to_json, write_detections
from saccade.tasks.detection.module import SCORE, DetectionModule
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.devices import Devices, together
from saccade.tasks.fitting import Job, Loaders, Say, batches, fit_module, share_of_cases, steps_of_epoch
from saccade.tasks.sampler import EpochSampler
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.summary import write_summary
from saccade.tasks.weights import load_weights

HELD_OUT = Path("validation")


def train_detection(job: Job, network: torch.nn.Module, *, devices: Devices, say: Say) -> DetectionPredictor:
    """Train, keep the weights, detect and score what was held out. Everything ends in the run's folder.

    Args:
        job: What is to be trained.
        network: Its network, with the first weights.
        devices: What it runs on.
        say: Gets a line at each step.

    Raises:
        InputError: If an image or the network cannot be used.
        RunError: If training diverges.
    """
    with together(devices, job):
        module, keeper, clock = fit(job, network, devices=devices, say=say)
    best = load_weights(network, job.run / "model.safetensors")
    predictor = DetectionPredictor(best, job.config, device=str(module.device))
    scores = _detect_held_out(predictor, module.held_out, job, say) if job.validation else {}
    write_summary(job.config, network, job.run, keeper=keeper, clock=clock, scores=scores)
    return predictor


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[DetectionModule, Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config: DetectionConfig = job.config
    seed_generators(config.training.seed)
    prepared, held_out = PreparedScenes(job.train, config), PreparedScenes(job.validation, config)
    began = time.perf_counter()
    for part in (prepared, held_out):
        part.prepare()
    say(f"cases  read and prepared in {time.perf_counter() - began:.0f} s")
    steps = steps_of_epoch(job)
    system = find_implementation(config.system, config.network, config.task)
    module = DetectionModule(network, config, steps, system, held_out)
    loaders = Loaders(
        _training_batches(prepared, steps, (rank, devices.size)),
        _held_out_batches(held_out, rank, devices.size) if job.validation else None,
        _training_batches(prepared, steps),
    )
    keeper, clock = fit_module(job, module, loaders, score=SCORE, devices=devices, rank=rank, say=say)
    return module, keeper, clock


def _training_batches(prepared: PreparedScenes, steps: int, share: tuple[int, int] = (0, 1)) -> DataLoader:
    settings = prepared.config.training
    length = steps * settings.batch_size
    sampler = EpochSampler(len(prepared), length, settings.seed, (settings.batch_size, *share))
    return batches(ChangedScenes(prepared), sampler, settings, share[1], collate=collate)


def _held_out_batches(prepared: PreparedScenes, rank: int, processes: int) -> DataLoader:
    numbers = share_of_cases(len(prepared), rank, processes)
    size = prepared.config.inference.batch_size
    return DataLoader(Numbered(prepared, numbers), batch_size=size, collate_fn=collate)


def _detect_held_out(predictor: DetectionPredictor, held_out: PreparedScenes, job: Job, say: Say) -> dict[str, Any]:
    """Detections in the held-out images and their scores go into the run's ``validation/``; the scores come back."""
    images = [scene.image for scene in held_out.scenes]
    scenes = [held_out.scene(number, predictor.system) for number in range(len(images))]
    found = {scene.id: said for scene, said in zip(scenes, predictor.predict_all(images), strict=True)}
    records = {scene.id: to_json(scene.image, found[scene.id]) for scene in scenes}
    result = score_scenes(found, scenes, predictor.names)
    write_detections(job.run / HELD_OUT / FILE, predictor.names, records)
    write_json(job.run / HELD_OUT / "metrics.json", result)
    scores = {name: result["summary"][name]["value"] for name in ("ap50", "ap", "sensitivity")}
    say(f"found objects in {len(scenes)} held-out images: AP50 {scores['ap50']:.3f}")
    return scores
