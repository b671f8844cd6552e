"""The training of a classification or regression: prepare the images, train, calibrate, predict and score."""

import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from saccade.data.classification.case import ImageDataset
from saccade.files import write_json
from saccade.metrics.classification import SCORE_OF
from saccade.systems import find_implementation
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.classification.calibrate import fit_temperature
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.dataset import ChangedImages, Numbered, PreparedImages
from saccade.tasks.classification.evaluate import FILE, score_table
from saccade.tasks.classification.module import ClassificationModule, own_loss
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table, write_table
from saccade.tasks.classification.targets import encode, sampling_weights
from saccade.tasks.devices import Devices, together
from saccade.tasks.fitting import Job, Loaders, Say, batches, fit_module, share_of_cases, steps_of_epoch
from saccade.tasks.sampler import EpochSampler
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.summary import write_summary
from saccade.tasks.weights import load_weights

HELD_OUT = Path("validation")


def train_classification(job: Job, network: torch.nn.Module, *, devices: Devices, say: Say) -> ClassificationPredictor:
    """Train, keep the weights, calibrate, predict and score the held-out cases. Everything ends in the run's folder.

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
    predictor = ClassificationPredictor(best, job.config, device=str(module.device))
    scores: dict[str, Any] = {}
    if job.validation:
        predictor, result = _predict_held_out(predictor, job, say)
        scores = {name: score["value"] for name, score in result["summary"].items()}
    write_summary(job.config, network, job.run, keeper=keeper, clock=clock, scores=scores)
    return predictor


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[ClassificationModule, Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config: ClassificationConfig = job.config
    settings = config.training
    seed_generators(settings.seed)
    prepared, held_out = PreparedImages(job.train, config), PreparedImages(job.validation, config)
    began = time.perf_counter()
    for part in (prepared, held_out):
        part.prepare(network)
    say(f"cases  read and prepared in {time.perf_counter() - began:.0f} s")
    steps = steps_of_epoch(job)
    implementation = find_implementation(config.system, config.network, config.task)
    module = ClassificationModule(network, config, steps, own_loss(implementation))
    loaders = Loaders(
        _training_batches(prepared, steps, (rank, devices.size)),
        _held_out_batches(held_out, rank, devices.size) if job.validation else None,
        _training_batches(prepared, steps),
    )
    column, name = SCORE_OF[config.data.kind]
    keeper, clock = fit_module(job, module, loaders, score=(f"val_{column}", name), devices=devices, rank=rank, say=say)
    return module, keeper, clock


def _training_batches(prepared: PreparedImages, steps: int, share: tuple[int, int] = (0, 1)) -> DataLoader:
    settings = prepared.config.training
    weights = sampling_weights(prepared.cases) if settings.balanced_sampling else None
    length = steps * settings.batch_size
    sampler = EpochSampler(len(prepared), length, settings.seed, (settings.batch_size, *share), weights)
    return batches(ChangedImages(prepared), sampler, settings, share[1])


def _held_out_batches(prepared: PreparedImages, rank: int, processes: int) -> DataLoader:
    numbers = share_of_cases(len(prepared), rank, processes)
    return DataLoader(Numbered(prepared, numbers), batch_size=prepared.config.inference.batch_size)


def _predict_held_out(
    predictor: ClassificationPredictor, job: Job, say: Say
) -> tuple[ClassificationPredictor, dict[str, Any]]:
    """Calibrate on the held-out cases; their table and scores go into the run's ``validation/``."""
    config, cases = job.config, list(job.validation)
    logits = torch.tensor([scores for _, _, scores in predictor.predict_cases(cases)])
    targets = torch.stack([encode(case, config.data) for case in cases])
    calibration = fit_temperature(logits, targets, config.data) if config.inference.calibrate else None
    if calibration is not None:
        calibration.write(job.run)
        temperature = calibration.temperature
        predictor = ClassificationPredictor(
            predictor.network, config, temperature=temperature, device=str(predictor.device)
        )
        change = f"log loss {calibration.loss_before:.4f} -> {calibration.loss_after:.4f}"
        say(f"calibrated on the held-out cases: temperature {temperature:.3f}, {change}")
    values = predictor.said(logits).tolist()
    table = Table(config.data.kind, predictor.names, dict(zip((c.id for c in cases), values, strict=True)))
    write_table(table, job.run / HELD_OUT / FILE)
    dataset = ImageDataset(config.data.root, "held out", tuple(cases), config.data.columns)
    result = score_table(table, {case.id: case for case in cases}, dataset)
    write_json(job.run / HELD_OUT / "metrics.json", result)
    column, name = SCORE_OF[config.data.kind]
    say(f"predicted {len(cases)} held-out cases: {name} {result['summary'][column]['value']:.3f}")
    return predictor, result
