"""What happens around any task's training loop: the clock, the history, the kept weights, the progress bar."""

import csv
import io
import math
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from saccade.files import atomic, write_tensors


class TrainingClock(Callback):
    """Counts training seconds (validation, checks and saving not included) and stops at the budget.

    Args:
        max_seconds: Budget; None never stops.

    Attributes:
        seconds: Of training so far.
        waiting: Those of them in which the network waited for its next batch.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self.max_seconds, self.seconds, self.waiting = max_seconds, 0.0, 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._since = time.perf_counter()  # the first epoch after a resume begins without the hook below

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.waiting += self._tick()
        self._agree(trainer)
        if self.max_seconds is not None:
            module.seconds_left = max(0.0, self.max_seconds - self.seconds)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._tick()
        self._agree(trainer)
        if self.max_seconds is not None and self.seconds >= self.max_seconds:
            trainer.should_stop = True

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._pause()

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._pause()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "waiting": self.waiting}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.waiting = state_dict["seconds"], state_dict["waiting"]

    def _tick(self) -> float:
        now = time.perf_counter()
        passed = 0.0 if self._since is None else now - self._since
        self.seconds += passed
        self._since = now
        return passed

    def _pause(self) -> None:
        self._tick()
        self._since = None

    def _agree(self, trainer: Any) -> None:
        """Several processes go by the first one's clock, or they would differ in learning rate and end."""
        if self.max_seconds is not None and trainer.world_size > 1:
            self.seconds = trainer.strategy.broadcast(self.seconds)


@contextmanager
def told_once() -> Iterator[None]:
    """Keep the threads that write logs from printing a traceback: what failed there is raised at the next entry."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not isinstance(failure.exc_value, OSError):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint where it is asked to, in one go.

    Lightning's own way begins with a file in the machine's folder for temporary ones, which may lie on another disk
    that is full, and gives the checkpoint that file's rights: for nobody but its owner.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)  # torch's own errors about files say little; those of Python do
        Path(path).write_bytes(content.getbuffer())


class Keeper(Checkpoint):
    """After each epoch: `model.safetensors` if it is the one to keep, a row of `metrics.csv`, and `last.ckpt`.

    The order matters: whatever moment the process is killed at, `last.ckpt` stands for a state whose following epoch,
    done again, writes the other two again.

    Args:
        run: The run's folder.
        clock: Gives the seconds of each row.
        keep: ``best`` keeps the weights of the best score, ``last`` the latest.
        patience: Stop after this many validations without a better one.
        extended_at: Epochs at which the run was extended: there it goes on, whatever had stopped it.
        score: The logged value that tells the best; higher is better.
    """

    def __init__(
        self,
        run: Path,
        clock: TrainingClock,
        *,
        keep: str,
        patience: int | None,
        extended_at: Collection[int] = (),
        score: str = "val_dice",
    ) -> None:
        self.run, self.clock, self.keep, self.patience, self.extended_at = run, clock, keep, patience, extended_at
        self.score = score
        self.best, self.best_epoch, self.waited, self.stopped = -math.inf, -1, 0, False
        self.rows: list[dict[str, Any]] = []
        self._losses: list[float] = []
        self._validated = False

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return self.rows[-1]["epoch"] + 1 if self.rows else 0

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        trainer.strategy.checkpoint_io = CheckpointFile()
        if self.epochs in self.extended_at:
            self.waited, self.stopped = 0, False
        if self.stopped:  # it had ended before it was resumed
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._validated = True

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        group = trainer.optimizers[0].param_groups[0]
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(self.clock.seconds, 2),
            "train_loss": sum(self._losses) / max(1, len(self._losses)),
            "learning_rate": group["lr"] / group["factor"],
            **(scores if self._validated else {}),  # else they are those of an earlier epoch
        }
        self._losses, self._validated = [], False
        self.rows = [old for old in self.rows if old["epoch"] < row["epoch"]] + [row]
        for logger in trainer.loggers:
            try:
                logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=trainer.global_step)
            except ValueError as error:  # Lightning takes a disk that is full for a number that cannot be logged
                if isinstance(error.__cause__, OSError):
                    raise error.__cause__ from None
                raise
        keep = self._judge(trainer, row.get(self.score))
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.run / "last.ckpt")  # all processes take part, the first one writes
            return
        if keep:
            self._write_weights(module)
        self._write_rows()
        with atomic(self.run / "last.ckpt") as temporary:
            trainer.save_checkpoint(temporary)

    def _judge(self, trainer: lightning.Trainer, score: float | None) -> bool:
        """Whether to keep this epoch's weights; sets when to stop."""
        better = score is not None and score > self.best
        # until the first score the latest is all there is
        keep = better or self.keep == "last" or self.best == -math.inf
        if keep:
            self.best_epoch = trainer.current_epoch
        if score is not None:
            self.waited = 0 if better else self.waited + 1
            self.best = max(self.best, score)
            if self.patience is not None and self.waited >= self.patience:
                trainer.should_stop = True
        if self.epochs in self.extended_at:  # done again from the start, a run does not end where it once did
            self.waited, trainer.should_stop = 0, False
        self.stopped = trainer.should_stop
        return keep

    def _write_weights(self, module: Any) -> None:
        state = {name: value.contiguous().clone() for name, value in module.best_network.state_dict().items()}
        write_tensors(self.run / "model.safetensors", state)

    def _write_rows(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic(self.run / "metrics.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_epoch", "waited", "stopped", "rows")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)


class ProgressBar(Callback):
    """One line on stderr: epoch, loss, score, time left.

    Args:
        clock: Of the training.
        max_seconds: Its budget.
        score: The logged value that is shown, and its name for people.
    """

    def __init__(
        self, clock: TrainingClock, max_seconds: float | None, *, score: tuple[str, str] = ("val_dice", "Dice")
    ) -> None:
        self.clock, self.max_seconds, self.score = clock, max_seconds, score
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
        column, name = self.score
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {self.loss:.4f}"
        if column in trainer.callback_metrics:  # not before the first look at the held-out cases
            text += f"  {name} {float(trainer.callback_metrics[column]):.3f}"
        done = self.clock.seconds if self.max_seconds else trainer.global_step
        self.bar.update(self.task, completed=done, description=text)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.stop()
