"""The training of landmarks: prepare the images, train the heat maps, learn the CRF, predict and score."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from saccade.files import write_json
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.devices import Devices, together
from saccade.tasks.fitting import Job, Loaders, Say, batches, fit_module, share_of_cases, steps_of_epoch
from saccade.tasks.landmarks.begin import set_apart
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.dataset import ChangedLandmarks, Numbered, PreparedLandmarks
from saccade.tasks.landmarks.evaluate import score_landmarks
from saccade.tasks.landmarks.files import write_points
from saccade.tasks.landmarks.module import SCORE, LandmarksModule
from saccade.tasks.landmarks.predictor import LandmarksPredictor
from saccade.tasks.landmarks.structure import describe_structure, learn_structure, write_crf
from saccade.tasks.sampler import EpochSampler
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.summary import write_summary
from saccade.tasks.weights import load_weights

HELD_OUT = Path("validation")


def train_landmarks(job: Job, network: torch.nn.Module, *, devices: Devices, say: Say) -> LandmarksPredictor:
    """Train, keep the weights, learn the CRF, predict and score the held-out cases. All ends in the run's folder.

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
    predictor = LandmarksPredictor(best, job.config, device=str(module.device))
    parts = [PreparedLandmarks(cases, job.config) for cases in _parts(job)]
    crf = learn_structure(predictor, parts, parts[1])
    write_crf(crf, job.run)
    say(f"crf    {describe_structure(crf, len(parts[1]))}")
    predictor = LandmarksPredictor(best, job.config, crf=crf, device=str(module.device))
    scores = _predict_held_out(predictor, job, say) if job.validation else {}
    write_summary(job.config, network, job.run, keeper=keeper, clock=clock, scores=scores)
    return predictor


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[LandmarksModule, Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config: LandmarksConfig = job.config
    seed_generators(config.training.seed)
    seen, tuning = _parts(job)
    prepared, held_out = PreparedLandmarks(seen, config), PreparedLandmarks(job.validation, config)
    began = time.perf_counter()
    for part in (prepared, PreparedLandmarks(tuning, config), held_out):
        part.prepare()
    say(f"cases  read and prepared in {time.perf_counter() - began:.0f} s; {len(tuning)} set apart for the CRF")
    steps = steps_of_epoch(replace(job, train=seen))
    module = LandmarksModule(network, config, steps)
    loaders = Loaders(
        _training_batches(prepared, steps, (rank, devices.size)),
        _held_out_batches(held_out, rank, devices.size) if job.validation else None,
        _training_batches(prepared, steps),
    )
    keeper, clock = fit_module(job, module, loaders, score=SCORE, devices=devices, rank=rank, say=say)
    return module, keeper, clock


def _parts(job: Job) -> tuple[list[Any], list[Any]]:
    training = job.config.training
    return set_apart(job.train, training.tuning_part, training.seed)


def _training_batches(prepared: PreparedLandmarks, steps: int, share: tuple[int, int] = (0, 1)) -> DataLoader:
    settings = prepared.config.training
    length = steps * settings.batch_size
    sampler = EpochSampler(len(prepared), length, settings.seed, (settings.batch_size, *share))
    return batches(ChangedLandmarks(prepared), sampler, settings, share[1])


def _held_out_batches(prepared: PreparedLandmarks, rank: int, processes: int) -> DataLoader:
    numbers = share_of_cases(len(prepared), rank, processes)
    return DataLoader(Numbered(prepared, numbers), batch_size=prepared.config.inference.batch_size)


def _predict_held_out(predictor: LandmarksPredictor, job: Job, say: Say) -> dict[str, Any]:
    """Landmarks of the held-out images and their scores go into the run's ``validation/``; the scores come back."""
    cases = list(job.validation)
    found = dict(zip((c.id for c in cases), predictor.predict_all([c.source for c in cases]), strict=True))
    write_points(found, {case.id: case.source for case in cases}, job.run / HELD_OUT)
    result = score_landmarks({id: one.as_dict() for id, one in found.items()}, cases, predictor.names)
    write_json(job.run / HELD_OUT / "metrics.json", result)
    summary = result["summary"]
    rate = summary["localised"]["value"]
    say(f"found landmarks in {len(cases)} held-out images: {100 * rate:.1f} % localised")
    return {name: summary[name]["value"] for name in ("localised", "all_localised", "mean_error", "median_error")}
