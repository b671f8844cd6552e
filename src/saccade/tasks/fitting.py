"""The training of any task: the look before it, clock, kept weights, loggers and Lightning's trainer around it."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import lightning
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from saccade.errors import RunError
from saccade.tasks.batches import Loaders
from saccade.tasks.callbacks import Keeper, ProgressBar, TrainingClock, told_once
from saccade.tasks.check import check_bfloat16, check_training
from saccade.tasks.config import RunConfig
from saccade.tasks.devices import Devices
from saccade.tasks.module import TaskModule
from saccade.tasks.weights import read_checkpoint

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What is to be trained; each of the processes gets the same.

    Attributes:
        config: The run.
        run: Its folder.
        train: Cases to learn from.
        validation: Cases held out.
        resume: Go on from the folder's ``last.ckpt``.
        callbacks: What else happens around the training; not for several processes.
    """

    config: Any
    run: Path
    train: Sequence[Any]
    validation: Sequence[Any]
    resume: bool
    callbacks: Sequence[Callback] = ()


def steps_of_epoch(job: Job) -> int:
    """Optimiser steps of an epoch."""
    settings = job.config.training
    return settings.steps_per_epoch or max(1, len(job.train) // settings.batch_size)


def fit_module(
    job: Job,
    module: TaskModule,
    loaders: Loaders,
    *,
    score: tuple[str, str],
    devices: Devices,
    rank: int,
    say: Say,
    callbacks: Sequence[Callback] = (),
) -> tuple[Keeper, TrainingClock]:
    """One process's part of a training; process 0 checks, speaks and writes the files.

    Args:
        job: What is trained.
        module: It, for Lightning.
        loaders: Its batches.
        score: Column of metrics.csv by which the best epoch is known (higher is better), and its name for people.
        devices: What it runs on.
        rank: Number of this process.
        say: Gets a line at each step.
        callbacks: The task's own.

    Raises:
        InputError: If the network cannot be used.
        RunError: If training diverges.
    """
    config, run, settings = job.config, job.run, job.config.training
    if rank == 0:
        _check(module, loaders.look, job.resume, devices, say)
    clock = TrainingClock(settings.max_seconds)
    extended_at = [extension.until_epoch for extension in settings.extensions]
    column, name = score
    keeper = Keeper(run, clock, keep=settings.keep, patience=settings.patience, extended_at=extended_at, score=column)
    checkpoint = run / "last.ckpt" if job.resume else None
    steps_done = read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    bar = [ProgressBar(clock, settings.max_seconds, score=(column, name))] if rank == 0 else []
    loggers = _loggers(config, run, steps_done, rank, say)
    trainer = make_trainer(config, loggers, [clock, keeper, *callbacks, *job.callbacks, *bar], devices)
    try:
        with told_once():
            trainer.fit(module, loaders.train, loaders.validation, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except FloatingPointError as error:
        raise RunError(f"{error} Lower training.learning_rate or use training.precision=32-true.") from None
    return keeper, clock


def _loggers(config: RunConfig, run: Path, steps_done: int, rank: int, say: Say) -> list[Any]:
    from saccade.tasks.loggers import MlflowRun, make_loggers

    # Lightning's advice on hardware and logging does not fit what is decided here
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def mlflow() -> MlflowRun:
        where = config.training.mlflow
        settings = config.model_dump(mode="json")
        uri, name = where.tracking_uri, where.experiment
        return MlflowRun(run, tracking_uri=uri, experiment=name, settings=settings, say=say)

    return make_loggers(config.training.loggers, run, steps_done=steps_done, rank=rank, mlflow=mlflow)


def make_trainer(config: RunConfig, loggers: list[Any], callbacks: list[Any], devices: Devices) -> lightning.Trainer:
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


def _check(module: TaskModule, loader: DataLoader, resume: bool, devices: Devices, say: Say) -> None:
    batch = next(iter(loader))
    if resume:  # perhaps on another machine than it was begun on
        check_bfloat16(module, module.trial(batch).image, devices.kind)
        return
    for line in check_training(module, batch, devices.kind):
        say(f"check  {line}")
