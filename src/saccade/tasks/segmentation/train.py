"""From a folder of labelled scans to a run: decide, write down, check, train, predict what was held out, score it."""

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from saccade.data.layouts import Case, Dataset, find_dataset, load_case
from saccade.data.splits import file_hash, make_folds
from saccade.data.volume import write_volume
from saccade.errors import InputError, RunError
from saccade.files import write_json
from saccade.systems import find_system
from saccade.tasks.callbacks import Keeper, ProgressBar, TrainingClock
from saccade.tasks.environment import describe_environment, fast_bfloat16, peak_memory_bytes
from saccade.tasks.segmentation.check import check_bfloat16, check_training
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.dataset import EpochSampler, Patches, PreparedCases
from saccade.tasks.segmentation.evaluate import evaluate_folders
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.plan import plan_data, take_fingerprint
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.settings import merge

Say = Callable[[str], None]
SNAPSHOT_CASES = 8  # held-out cases whose attention maps are kept for the report


def plan(
    system: str,
    dataset: Dataset,
    cases: list[Case],
    *,
    preset: str,
    overrides: Mapping[str, Any],
    implementation: ModuleType,
) -> SegmentationConfig:
    """The configuration of a run: the preset, then what the data decides, then what the user says.

    Args:
        system: Name.
        dataset: The data.
        cases: Training cases; nothing else is looked at.
        preset: One of the system's.
        overrides: Nested values that win.
        implementation: The system's module.
    """
    chosen = implementation.PRESETS[preset]
    hints = {"patch_voxels": 2**17, "volume_voxels": None, **chosen.get("plan", {})}
    fingerprint = take_fingerprint(dataset, cases)
    unnamed = [value for value in fingerprint.values if value not in dataset.label_names]
    if dataset.label_names and unnamed and "label_names" not in overrides.get("data", {}):
        known = ", ".join(map(str, dataset.label_names))
        raise InputError(
            f"{dataset.root}: label values must be among {known}, found {unnamed}. Name the classes to learn."
        )
    decided: dict[str, Any] = {"data": plan_data(dataset, fingerprint, **hints)}
    decided = merge(decided, {key: value for key, value in chosen.items() if key != "plan"}, overrides)
    config = SegmentationConfig.parse(merge({"system": system, "preset": preset}, decided), system)
    training = config.training.model_copy(update={"precision": _plan_precision(config.training.precision)})
    return config.model_copy(update={"network": _plan_network(config, implementation), "training": training})


def _plan_precision(asked: str) -> str:
    if asked != "auto":
        return asked
    return "bf16-mixed" if fast_bfloat16("cuda" if torch.cuda.is_available() else "cpu") else "32-true"


def _plan_network(config: SegmentationConfig, implementation: ModuleType) -> dict[str, Any]:
    """All settings of the network but those that follow from the data: channels and classes."""
    sizes = {"in_channels", "out_channels"}
    who = f"{config.system}: network"
    if given := sizes & set(config.network):
        raise InputError(f"{who}: {' and '.join(sorted(given))} must be left out, the data decides.")
    asked = implementation.Network.parse(config.network, who).model_dump(exclude_unset=True)
    planned = implementation.plan_network(config.data.model_dump(), asked)
    complete: dict[str, Any] = implementation.Network.parse(planned, who).model_dump(mode="json", exclude=sizes)
    return complete


def choose_split(dataset: Dataset, *, fold: int, folds: int) -> tuple[list[Case], list[Case]]:
    """Training and validation cases: as the data set says, else fold ``fold`` of ``folds`` is held out."""
    labelled = [case for case in dataset.labelled() if case.split != "test"]
    if any(case.split == "validation" for case in labelled):
        return [c for c in labelled if c.split != "validation"], [c for c in labelled if c.split == "validation"]
    if not 0 <= fold < folds:
        raise InputError(f"train: fold must be 0 to {folds - 1}, got {fold}.")
    if len(labelled) < folds:
        raise InputError(
            f"{dataset.root}: must have at least {folds} labelled cases for {folds} folds, found {len(labelled)}."
        )
    held_out = set(make_folds([case.id for case in labelled], folds)[fold])
    return [c for c in labelled if c.id not in held_out], [c for c in labelled if c.id in held_out]


def train_segmentation(config: SegmentationConfig, network: torch.nn.Module, *, run: Path, train: list[Case],
                       validation: list[Case], resume: bool, say: Say) -> SegmentationPredictor:  # fmt: skip
    """Train, keep the weights, predict and score the validation cases. Everything ends in the run's folder."""
    settings = config.training
    prepared = {"train": PreparedCases(train, config), "validation": PreparedCases(validation, config)}
    began = time.perf_counter()
    for part in prepared.values():
        part.prepare()
    say(f"cases  decoded and prepared in {time.perf_counter() - began:.0f} s")
    steps_per_epoch = settings.steps_per_epoch or max(1, len(train) // settings.batch_size)
    module = SegmentationModule(network, config, total_steps=settings.epochs * steps_per_epoch)
    loader = _patch_loader(prepared["train"], config, steps_per_epoch)
    batch = next(iter(loader))
    if resume:  # perhaps on another machine than it was begun on
        check_bfloat16(module, module.in_dimensions(batch[0][:1]))
    else:
        for line in check_training(module, batch):
            say(f"check  {line}")
    clock = TrainingClock(settings.max_seconds)
    keeper = Keeper(run, clock, keep=settings.keep, patience=settings.patience)
    trainer = make_trainer(config, run, [clock, keeper, ProgressBar(clock, settings.max_seconds)])
    held_out: DataLoader[Any] = DataLoader(
        prepared["validation"], batch_size=1, collate_fn=lambda items: ([items[0][0]], [items[0][1]])
    )
    _fit(trainer, module, loader, held_out if validation else None, run / "last.ckpt" if resume else None)
    best = load_weights(network, run / "model.safetensors")
    predictor = SegmentationPredictor(best, config, device=str(module.device))
    result = _predict_held_out(predictor, validation, run, say) if validation else None
    _write_summary(config, network, run, trainer, keeper, clock, result)
    return predictor


def describe_run(config: SegmentationConfig, run: Path, train: list[Case], validation: list[Case]) -> None:
    """Write config.yaml, splits.json (with the hash of every file) and environment.json."""
    config.write(run / "config.yaml")
    files = {
        case.id: {
            "image": [str(path) for path in case.images],
            "label": str(case.label),
            "sha256": hash_files(case),
        }
        for case in (*train, *validation)
    }
    ids = {"train": [c.id for c in train], "validation": [c.id for c in validation]}
    write_json(run / "splits.json", {**ids, "files": files})
    write_json(run / "environment.json", {**describe_environment(), "seed": config.training.seed})


def hash_files(case: Case) -> dict[str, str]:
    """SHA-256 of a case's files by role, so that a moved data set still proves to be the same."""
    images = {f"image {channel}": path for channel, path in enumerate(case.images)}
    files = images if case.label is None else {**images, "label": case.label}
    return {role: file_hash(path) for role, path in files.items()}


def make_trainer(config: SegmentationConfig, run: Path, callbacks: list[Any]) -> lightning.Trainer:
    """Lightning's trainer with nothing of its own on disk but TensorBoard's log."""
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
        logger=TensorBoardLogger(run, name="", version="tensorboard"),
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=10**9,  # the keeper logs once an epoch
    )


def check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint to resume from that is not one; nothing in it is executed.

    Raises:
        InputError: If the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on foreign pickles
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no error of its own: what is raised depends on where the damage is
        reason = str(error).strip().split("\n")[0][:100]
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason}). Train again in a new folder.") from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise InputError(f"{path}: must be a checkpoint of a run, holds something else. Train again in a new folder.")


def load_weights(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Load a run's kept weights.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error}). Restore the file or train again.") from None
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: holds the weights of another network than config.yaml describes ({reason})."
        ) from None
    return network


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


def _predict_held_out(predictor: SegmentationPredictor, cases: list[Case], run: Path, say: Say) -> dict[str, Any]:
    folder = run / "validation"
    began = time.perf_counter()
    for position, case in enumerate(cases):
        volume, label = load_case(case)
        assert label is not None
        found = predictor.segment(volume, attention=position < SNAPSHOT_CASES)
        write_volume(found.labels, folder / f"{case.id}.nii.gz")
        # an organ that was not to be learned is not missed
        asked = np.where(np.isin(label.array, predictor.config.classes), label.array, 0)
        write_volume(label.like(asked.astype(label.array.dtype)), folder / "truth" / f"{case.id}.nii.gz")
        for gate, map_ in found.attention.items():
            write_volume(map_, folder / "attention" / f"{case.id}_{gate}.nii.gz")
    say(f"predicted {len(cases)} held-out cases in {time.perf_counter() - began:.0f} s")
    result = evaluate_folders(folder, folder / "truth", label_names=predictor.config.data.label_names)
    write_json(folder / "metrics.json", result)
    return result


def _write_summary(config: SegmentationConfig, network: torch.nn.Module, run: Path, trainer: lightning.Trainer,
                   keeper: Keeper, clock: TrainingClock, result: dict[str, Any] | None) -> None:  # fmt: skip
    summary: dict[str, Any] = {"system": config.system, "preset": config.preset}
    if result is not None:
        means = {organ: metrics["dice"]["mean"] for organ, metrics in result["summary"].items()}
        known = [value for value in means.values() if value is not None and np.isfinite(value)]
        summary |= {"mean_dice": float(np.mean(known)) if known else None, "dice": means}
    with suppress(OSError):
        summary["weights_bytes"] = (run / "model.safetensors").stat().st_size
    write_json(
        run / "summary.json",
        summary
        | {
            "kept_epoch": keeper.best_epoch,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "training_seconds": round(clock.seconds, 1),
            "parameters": sum(p.numel() for p in network.parameters()),
            "peak_memory_bytes": peak_memory_bytes(),
        },
    )


def open_dataset(data: Path | str, label_names: Mapping[int, str] | None) -> Dataset:
    """The data set of a folder; see `saccade.data.layouts` for the layouts."""
    dataset = find_dataset(data, label_names)
    find_labelled = dataset.labelled()
    if not find_labelled:
        raise InputError(
            f"{dataset.root}: must have labelled cases to train on, found none (layout: {dataset.layout})."
        )
    return dataset


def implementation_of(system: str, preset: str) -> ModuleType:
    """The module of a segmentation system, with the preset checked."""
    import importlib

    from saccade.errors import unknown_name

    module = importlib.import_module(find_system(system).module)
    if preset not in module.PRESETS:
        raise unknown_name(system, "preset", preset, list(module.PRESETS))
    return module
