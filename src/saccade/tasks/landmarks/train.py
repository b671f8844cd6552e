"""The training of landmarks: prepare the images, train the heat maps, learn the CRF, predict and score."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from saccade.files import write_json
from saccade.tasks.batches import make_loaders
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.devices import Devices
from saccade.tasks.fitting import Job, Say, fit_module, steps_of_epoch
from saccade.tasks.landmarks.begin import set_apart
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.dataset import ChangedLandmarks, PreparedLandmarks
from saccade.tasks.landmarks.evaluate import score_landmarks
from saccade.tasks.landmarks.files import write_points
from saccade.tasks.landmarks.module import SCORE, LandmarksModule
from saccade.tasks.landmarks.predictor import LandmarksPredictor
from saccade.tasks.landmarks.structure import describe_structure, learn_structure, write_crf
from saccade.tasks.prepared import prepare_all
from saccade.tasks.seeding import kept_generators, seed_generators

HELD_OUT = Path("validation")


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config: LandmarksConfig = job.config
    seed_generators(config.training.seed)
    seen, tuning = _parts(job)
    prepared, held_out = PreparedLandmarks(seen, config), PreparedLandmarks(job.validation, config)
    parts = prepared, PreparedLandmarks(tuning, config), held_out
    prepare_all(parts, say, more=f"; {len(tuning)} set apart for the CRF")
    steps = steps_of_epoch(replace(job, train=seen))
    module = LandmarksModule(network, config, steps)
    loaders = make_loaders(ChangedLandmarks(prepared), held_out, steps, (rank, devices.size))
    return fit_module(job, module, loaders, score=SCORE, devices=devices, rank=rank, say=say)


def finish(job: Job, network: torch.nn.Module, *, device: str, say: Say) -> tuple[LandmarksPredictor, dict[str, Any]]:
    """Learn the CRF on the kept weights, predict and score with both the held-out cases."""
    predictor = LandmarksPredictor(network, job.config, device=device)
    parts = [PreparedLandmarks(cases, job.config) for cases in _parts(job)]
    crf = learn_structure(predictor, parts, parts[1])
    write_crf(crf, job.run)
    say(f"crf    {describe_structure(crf, len(parts[1]))}")
    predictor = LandmarksPredictor(network, job.config, crf=crf, device=device)
    return predictor, _predict_held_out(predictor, job, say) if job.validation else {}


def _parts(job: Job) -> tuple[list[Any], list[Any]]:
    training = job.config.training
    return set_apart(job.train, training.tuning_part, training.seed)


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
