"""What happens around any task's training loop: the clock, the history, the kept weights, the progress bar."""

import csv
import math
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file

from saccade.files import atomic


class TrainingClock(Callback):
    """Counts training seconds (validation, checks and saving not included) and stops at the budget.

    Args:
        max_seconds: Budget; None never stops.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self.max_seconds, self.seconds = max_seconds, 0.0
        self._since: float | None = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self._tick()
        if self.max_seconds is not None:
            module.seconds_left = max(0.0, self.max_seconds - self.seconds)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._tick()
        if self.max_seconds is not None and self.seconds >= self.max_seconds:
            trainer.should_stop = True

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._pause()

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._pause()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now

    def _pause(self) -> None:
        self._tick()
        self._since = None


class Keeper(Checkpoint):
    """After each epoch: `last.ckpt`, a row of `metrics.csv`, and `model.safetensors` if it is the one to keep.

    Args:
        run: The run's folder.
        clock: Gives the seconds of each row.
        keep: ``best`` keeps the weights of the best ``val_dice``, ``last`` the latest.
        patience: Stop after this many validations without a better one.
    """

    def __init__(self, run: Path, clock: TrainingClock, *, keep: str, patience: int | None) -> None:
        self.run, self.clock, self.keep, self.patience = run, clock, keep, patience
        self.best, self.best_epoch, self.waited = -math.inf, -1, 0
        self.rows: list[dict[str, Any]] = []
        self._losses: list[float] = []
        self._validated = False

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._validated = True

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(self.clock.seconds, 2),
            "train_loss": sum(self._losses) / max(1, len(self._losses)),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **(scores if self._validated else {}),  # else they are those of an earlier epoch
        }
        self._losses, self._validated = [], False
        self.rows = [old for old in self.rows if old["epoch"] < row["epoch"]] + [row]
        if trainer.logger is not None:
            trainer.logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=trainer.global_step)
        self._keep(trainer, module, row.get("val_dice"))
        self._write_rows()
        with atomic(self.run / "last.ckpt") as temporary:
            trainer.save_checkpoint(temporary)

    def _keep(self, trainer: lightning.Trainer, module: Any, score: float | None) -> None:
        better = score is not None and score > self.best
        if better or self.keep == "last" or self.best == -math.inf:  # until the first score the latest is all there is
            with atomic(self.run / "model.safetensors") as temporary:
                state = {name: value.contiguous().clone() for name, value in module.best_network.state_dict().items()}
                save_file(state, temporary)
            self.best_epoch = trainer.current_epoch
        if score is None:
            return
        self.waited = 0 if better else self.waited + 1
        self.best = max(self.best, score)
        if self.patience is not None and self.waited >= self.patience:
            trainer.should_stop = True

    def _write_rows(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic(self.run / "metrics.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.waited, self.rows = state_dict["waited"], state_dict["rows"]


class ProgressBar(Callback):
    """One line on stderr: epoch, loss, Dice, time left."""

    def __init__(self, clock: TrainingClock, max_seconds: float | None) -> None:
        self.clock, self.max_seconds = clock, max_seconds
        self.loss = math.nan

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        from rich.console import Console

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        ]
        self.bar = Progress(*columns, console=Console(stderr=True), transient=False)
        total = self.max_seconds or float(trainer.estimated_stepping_batches)
        self.task = self.bar.add_task("training", total=total)
        self.bar.start()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = float(outputs["loss"])
        self.loss = loss if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * loss
        dice = trainer.callback_metrics.get("val_dice", torch.tensor(math.nan))
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {self.loss:.4f}  Dice {float(dice):.3f}"
        done = self.clock.seconds if self.max_seconds else trainer.global_step
        self.bar.update(self.task, completed=done, description=text)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.stop()
