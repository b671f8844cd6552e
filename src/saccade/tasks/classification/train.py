"""The training of a classification or regression: prepare the images, train, calibrate, predict and score."""

from pathlib import Path
from typing import Any

import torch

from saccade.data.classification.case import ImageDataset
from saccade.files import write_json
from saccade.metrics.classification import SCORE_OF
from saccade.systems import find_implementation
from saccade.tasks.batches import make_loaders
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.classification.calibrate import fit_temperature
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.dataset import ChangedImages, PreparedImages, check_image, where
from saccade.tasks.classification.evaluate import FILE, score_table
from saccade.tasks.classification.module import ClassificationModule, own_loss
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table, write_table
from saccade.tasks.classification.targets import encode, sampling_weights
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
    config: ClassificationConfig = job.config
    seed_generators(config.training.seed)
    prepared, held_out = PreparedImages(job.train, config), PreparedImages(job.validation, config)
    prepare_all((prepared, held_out), say, look=lambda case, item: check_image(network, item[0], where(case)))
    steps = steps_of_epoch(job)
    implementation = find_implementation(config.system, config.network, config.task)
    module = ClassificationModule(network, config, steps, own_loss(implementation))
    weights = sampling_weights(prepared.cases) if config.training.balanced_sampling else None
    loaders = make_loaders(ChangedImages(prepared), held_out, steps, (rank, devices.size), weights=weights)
    column, name = SCORE_OF[config.data.kind]
    return fit_module(job, module, loaders, score=(f"val_{column}", name), devices=devices, rank=rank, say=say)


def finish(
    job: Job, network: torch.nn.Module, *, device: str, say: Say
) -> tuple[ClassificationPredictor, dict[str, Any]]:
    """Calibrate the kept weights, predict and score with them the held-out cases."""
    predictor = ClassificationPredictor(network, job.config, device=device)
    return _predict_held_out(predictor, job, say) if job.validation else (predictor, {})


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
    return predictor, {name: score["value"] for name, score in result["summary"].items()}
