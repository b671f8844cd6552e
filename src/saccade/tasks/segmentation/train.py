"""The training of a segmentation: prepare the cases, train, predict what was held out, score it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from saccade.tasks.batches import make_loaders
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.devices import Devices
from saccade.tasks.fitting import Job, Say, fit_module, steps_of_epoch
from saccade.tasks.prepared import prepare_all
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.segmentation.dataset import Patches, PreparedCases
from saccade.tasks.segmentation.held_out import predict_held_out, summary_scores
from saccade.tasks.segmentation.labelled import labelled_classes, labelled_line
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.snapshots import AttentionSnapshots


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config, run, settings = job.config, job.run, job.config.training
    seed_generators(settings.seed)
    prepared, held_out = PreparedCases(job.train, config), PreparedCases(job.validation, config)
    prepare_all((prepared, held_out), say)
    if config.data.labelled:
        say(f"labels {labelled_line(config, job.train)}")
    steps = steps_of_epoch(job)
    module = SegmentationModule(network, config, steps)
    snapshots = AttentionSnapshots(run, held_out, settings.attention_epochs)
    one_volume = partial(_volume, held_out)
    loaders = make_loaders(Patches(prepared), held_out, steps, (rank, devices.size), collate_held_out=one_volume)
    keeper, clock = fit_module(
        job, module, loaders, score=("val_dice", "Dice"), devices=devices, rank=rank, say=say, callbacks=[snapshots]
    )
    if rank == 0 and keeper.epochs not in settings.attention_epochs:
        snapshots.take(module, keeper.epochs)
    return keeper, clock


def _volume(held_out: PreparedCases, items: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A batch of validation: one whole volume, its number in front and, if not all are, which classes are labelled."""
    ((number, image, labels, _),) = items
    if not held_out.config.data.labelled:
        return number, image, labels
    return number, image, labels, labelled_classes(held_out.config, held_out.cases[number])


def finish(
    job: Job, network: torch.nn.Module, *, device: str, say: Say
) -> tuple[SegmentationPredictor, dict[str, Any]]:
    """Predict and score the validation cases with the kept weights."""
    predictor = SegmentationPredictor(network, job.config, device=device)
    result = predict_held_out(predictor, list(job.validation), job.run, say) if job.validation else None
    return predictor, summary_scores(job.config, result)
