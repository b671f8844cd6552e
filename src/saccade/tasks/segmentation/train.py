"""The training of a run: prepare the cases, check, train, predict what was held out, score it."""

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from saccade.data.layouts import Case
from saccade.errors import RunError
from saccade.tasks.callbacks import Keeper, ProgressBar, TrainingClock, told_once
from saccade.tasks.devices import Devices, together
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.segmentation.check import check_bfloat16, check_training
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.dataset import EpochSampler, Patches, PreparedCases
from saccade.tasks.segmentation.held_out import Say, predict_held_out, write_summary
from saccade.tasks.segmentation.labelled import labelled_classes, labelled_line
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.snapshots import AttentionSnapshots
from saccade.tasks.segmentation.weights import load_weights, read_checkpoint


@dataclass(frozen=True)
class Job:
    """What is to be trained; each of the processes gets the same.

    Attributes:
        config: The run.
        run: Its folder.
        train: Cases to learn from.
        validation: Cases held out.
        resume: Go on from the folder's ``last.ckpt``.
    """

    config: SegmentationConfig
    run: Path
    train: Sequence[Case]
    validation: Sequence[Case]
    resume: bool


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
    write_summary(config, network, run, keeper=keeper, clock=clock, result=result)
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
    steps_per_epoch = settings.steps_per_epoch or max(1, len(job.train) // settings.batch_size)
    module = SegmentationModule(network, config, steps_per_epoch)
    if rank == 0:
        _check(module, _patch_loader(prepared["train"], config, steps_per_epoch), job.resume, devices, say)
    clock = TrainingClock(settings.max_seconds)
    extended_at = [extension.until_epoch for extension in settings.extensions]
    keeper = Keeper(run, clock, keep=settings.keep, patience=settings.patience, extended_at=extended_at)
    checkpoint = run / "last.ckpt" if job.resume else None
    steps_done = read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    snapshots = AttentionSnapshots(run, prepared["validation"], settings.attention_epochs)
    callbacks = [clock, keeper, snapshots, *([ProgressBar(clock, settings.max_seconds)] if rank == 0 else [])]
    trainer = make_trainer(config, _loggers(config, run, steps_done, rank, say), callbacks, devices)
    loader = _patch_loader(prepared["train"], config, steps_per_epoch, (rank, devices.size))
    held_out = _volume_loader(prepared["validation"], rank, devices.size) if job.validation else None
    _fit(trainer, module, loader, held_out, checkpoint)
    if rank == 0 and keeper.epochs not in settings.attention_epochs:
        snapshots.take(module, keeper.epochs)
    return module, keeper, clock


def _loggers(config: SegmentationConfig, run: Path, steps_done: int, rank: int, say: Say) -> list[Any]:
    from saccade.tasks.loggers import MlflowRun, make_loggers

    # Lightning's advice on hardware and logging does not fit what is decided here
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def mlflow() -> MlflowRun:
        where = config.training.mlflow
        settings = config.model_dump(mode="json")
        uri, name = where.tracking_uri, where.experiment
        return MlflowRun(run, tracking_uri=uri, experiment=name, settings=settings, say=say)

    return make_loggers(config.training.loggers, run, steps_done=steps_done, rank=rank, mlflow=mlflow)


def make_trainer(
    config: SegmentationConfig, loggers: list[Any], callbacks: list[Any], devices: Devices
) -> lightning.Trainer:
    """Lightning's trainer with nothing of its own on disk but what the loggers write.

    Args:
        config: The run.
        loggers: Where its curves go.
        callbacks: What happens around the training.
        devices: What it runs on.
    """
    from lightning.pytorch.plugins.environments import LightningEnvironment

    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")  # slower, not wrong
    several = devices.size > 1
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(devices.kind, devices.kind),
        devices=devices.count,
        num_nodes=devices.nodes,
        strategy="ddp" if several else "auto",
        sync_batchnorm=several and devices.kind == "cuda",
        plugins=[LightningEnvironment()],  # else it would listen to a cluster that `together` has listened to already
        precision=cast("Literal['bf16-mixed', '32-true', '16-mixed']", config.training.precision),
        max_epochs=config.training.epochs,
        check_val_every_n_epoch=config.training.validate_every,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=loggers or False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=10**9,  # the keeper logs once an epoch
    )


def _check(module: SegmentationModule, loader: DataLoader, resume: bool, devices: Devices, say: Say) -> None:
    batch = next(iter(loader))
    if resume:  # perhaps on another machine than it was begun on
        check_bfloat16(module, module.in_dimensions(batch[0][:1]), devices.kind)
        return
    for line in check_training(module, batch, devices.kind):
        say(f"check  {line}")


def _patch_loader(
    prepared: PreparedCases, config: SegmentationConfig, steps: int, share: tuple[int, int] = (0, 1)
) -> DataLoader:
    settings = config.training
    length = steps * settings.batch_size
    sampler = EpochSampler(len(prepared), length, settings.seed, (settings.batch_size, *share))
    return DataLoader(
        Patches(prepared),
        batch_size=settings.batch_size // share[1],
        sampler=sampler,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class _Volumes(Dataset):
    """A process's share of the whole volumes; all get equally many, so that none waits for the others in vain."""

    def __init__(self, prepared: PreparedCases, rank: int, processes: int) -> None:
        self.prepared = prepared
        rounds = -(-len(prepared) // processes)
        self.cases = [(rank + turn * processes) % len(prepared) for turn in range(rounds)]

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


def _fit(
    trainer: lightning.Trainer, module: SegmentationModule, loader: DataLoader, held_out: Any, checkpoint: Path | None
) -> None:
    try:
        with told_once():
            trainer.fit(module, loader, held_out, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except FloatingPointError as error:
        raise RunError(f"{error} Lower training.learning_rate or use training.precision=32-true.") from None
