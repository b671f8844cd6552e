"""The training of a run: prepare the cases, check, train, predict what was held out, score it."""

import logging
import time
import warnings
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from torch.utils.data import DataLoader

from saccade.data.layouts import Case
from saccade.errors import RunError
from saccade.tasks.callbacks import Keeper, ProgressBar, TrainingClock
from saccade.tasks.seeding import kept_generators, seed_generators
from saccade.tasks.segmentation.check import check_bfloat16, check_training
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.dataset import EpochSampler, Patches, PreparedCases
from saccade.tasks.segmentation.held_out import Say, predict_held_out, write_summary
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.weights import load_weights, read_checkpoint


@kept_generators()
def train_segmentation(config: SegmentationConfig, network: torch.nn.Module, *, run: Path, train: list[Case],
                       validation: list[Case], resume: bool, say: Say) -> SegmentationPredictor:  # fmt: skip
    """Train, keep the weights, predict and score the validation cases. Everything ends in the run's folder.

    Args:
        config: The run.
        network: Its network, with the first weights.
        run: Its folder.
        train: Cases to learn from.
        validation: Cases held out.
        resume: Go on from the folder's ``last.ckpt``.
        say: Gets a line at each step.

    Raises:
        InputError: If a case or the network cannot be used.
        RunError: If training diverges.
    """
    settings = config.training
    seed_generators(settings.seed)
    prepared = {"train": PreparedCases(train, config), "validation": PreparedCases(validation, config)}
    began = time.perf_counter()
    for part in prepared.values():
        part.prepare()
    say(f"cases  decoded and prepared in {time.perf_counter() - began:.0f} s")
    steps_per_epoch = settings.steps_per_epoch or max(1, len(train) // settings.batch_size)
    module = SegmentationModule(network, config, steps_per_epoch)
    loader = _patch_loader(prepared["train"], config, steps_per_epoch)
    batch = next(iter(loader))
    if resume:  # perhaps on another machine than it was begun on
        check_bfloat16(module, module.in_dimensions(batch[0][:1]))
    else:
        for line in check_training(module, batch):
            say(f"check  {line}")
    clock = TrainingClock(settings.max_seconds)
    extended_at = [extension.until_epoch for extension in settings.extensions]
    keeper = Keeper(run, clock, keep=settings.keep, patience=settings.patience, extended_at=extended_at)
    checkpoint = run / "last.ckpt" if resume else None
    steps_done = read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    trainer = make_trainer(config, run, [clock, keeper, ProgressBar(clock, settings.max_seconds)], steps_done)
    held_out: DataLoader[Any] = DataLoader(
        prepared["validation"], batch_size=1, collate_fn=lambda items: ([items[0][0]], [items[0][1]])
    )
    _fit(trainer, module, loader, held_out if validation else None, checkpoint)
    best = load_weights(network, run / "model.safetensors")
    predictor = SegmentationPredictor(best, config, device=str(module.device))
    result = predict_held_out(predictor, validation, run, say) if validation else None
    write_summary(config, network, run, keeper=keeper, clock=clock, result=result)
    return predictor


def make_trainer(config: SegmentationConfig, run: Path, callbacks: list[Any], steps_done: int = 0) -> lightning.Trainer:
    """Lightning's trainer with nothing of its own on disk but TensorBoard's log.

    Args:
        config: The run.
        run: Its folder.
        callbacks: What happens around the training.
        steps_done: Before this resume; what TensorBoard has of later ones is dropped, they are done again.
    """
    from lightning.pytorch.loggers import TensorBoardLogger

    # Lightning's advice on hardware and logging does not fit what is decided here
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    return lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision=cast("Literal['bf16-mixed', '32-true', '16-mixed']", config.training.precision),
        max_epochs=config.training.epochs,
        check_val_every_n_epoch=config.training.validate_every,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=TensorBoardLogger(
            run, name="", version="tensorboard", purge_step=steps_done + 1 if steps_done else None
        ),
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=10**9,  # the keeper logs once an epoch
    )


def _patch_loader(prepared: PreparedCases, config: SegmentationConfig, steps: int) -> DataLoader:
    settings = config.training
    sampler = EpochSampler(len(prepared), steps * settings.batch_size, settings.seed)
    return DataLoader(
        Patches(prepared),
        batch_size=settings.batch_size,
        sampler=sampler,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _fit(
    trainer: lightning.Trainer, module: SegmentationModule, loader: DataLoader, held_out: Any, checkpoint: Path | None
) -> None:
    try:
        trainer.fit(module, loader, held_out, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except FloatingPointError as error:
        raise RunError(f"{error} Lower training.learning_rate or use training.precision=32-true.") from None
