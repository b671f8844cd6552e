"""The training of a segmentation: prepare the cases, train, predict what was held out, score it."""

import time
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.devices import Devices, together
from saccade.tasks.fitting import Job, Loaders, Say, batches, fit_module, share_of_cases, steps_of_epoch
from saccade.tasks.sampler import EpochSampler
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.dataset import Patches, PreparedCases
from saccade.tasks.segmentation.held_out import predict_held_out, summary_scores
from saccade.tasks.segmentation.labelled import labelled_classes, labelled_line
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.snapshots import AttentionSnapshots
from saccade.tasks.summary import write_summary
from saccade.tasks.weights import load_weights


def train_segmentation(job: Job, network: torch.nn.Module, *, devices: Devices, say: Say) -> SegmentationPredictor:
    """Train, keep the weights, predict and score the validation cases. Everything ends in the run's folder.

    Args:
        job: What is to be trained.
        network: Its network, with the first weights.
        devices: What it runs on.
        say: Gets a line at each step.

    Raises:
        InputError: If a case or the network cannot be used.
        RunError: If training diverges.
    """
    config, run = job.config, job.run
    with together(devices, job):
        module, keeper, clock = fit(job, network, devices=devices, say=say)
    best = load_weights(network, run / "model.safetensors")
    predictor = SegmentationPredictor(best, config, device=str(module.device))
    result = predict_held_out(predictor, list(job.validation), run, say) if job.validation else None
    write_summary(config, network, run, keeper=keeper, clock=clock, scores=summary_scores(config, result))
    return predictor


@kept_generators()
def fit(
    job: Job, network: torch.nn.Module, *, devices: Devices, rank: int = 0, say: Say
) -> tuple[SegmentationModule, Keeper, TrainingClock]:
    """One process's part of the training; process 0 checks, speaks and writes the files."""
    config, run, settings = job.config, job.run, job.config.training
    seed_generators(settings.seed)
    prepared = {"train": PreparedCases(job.train, config), "validation": PreparedCases(job.validation, config)}
    began = time.perf_counter()
    for part in prepared.values():
        part.prepare()
    say(f"cases  decoded and prepared in {time.perf_counter() - began:.0f} s")
    if config.data.labelled:
        say(f"labels {labelled_line(config, job.train)}")
    steps = steps_of_epoch(job)
    module = SegmentationModule(network, config, steps)
    snapshots = AttentionSnapshots(run, prepared["validation"], settings.attention_epochs)
    loaders = Loaders(
        _patch_loader(prepared["train"], config, steps, (rank, devices.size)),
        _volume_loader(prepared["validation"], rank, devices.size) if job.validation else None,
        _patch_loader(prepared["train"], config, steps),
    )
    keeper, clock = fit_module(
        job, module, loaders, score=("val_dice", "Dice"), devices=devices, rank=rank, say=say, callbacks=[snapshots]
    )
    if rank == 0 and keeper.epochs not in settings.attention_epochs:
        snapshots.take(module, keeper.epochs)
    return module, keeper, clock


def _patch_loader(
    prepared: PreparedCases, config: SegmentationConfig, steps: int, share: tuple[int, int] = (0, 1)
) -> DataLoader:
    settings = config.training
    length = steps * settings.batch_size
    sampler = EpochSampler(len(prepared), length, settings.seed, (settings.batch_size, *share))
    return batches(Patches(prepared), sampler, settings, share[1])


class _Volumes(Dataset):
    """A process's share of the whole volumes."""

    def __init__(self, prepared: PreparedCases, rank: int, processes: int) -> None:
        self.prepared = prepared
        self.cases = share_of_cases(len(prepared), rank, processes)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        number, config = self.cases[index], self.prepared.config
        image, labels, _ = self.prepared[number]
        if not config.data.labelled:
            return number, image, labels
        return number, image, labels, labelled_classes(config, self.prepared.cases[number])


def _volume_loader(prepared: PreparedCases, rank: int, processes: int) -> DataLoader:
    return DataLoader(_Volumes(prepared, rank, processes), batch_size=1, collate_fn=lambda items: items[0])
