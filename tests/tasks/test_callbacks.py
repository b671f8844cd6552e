"""The clock, the history and the kept weights, with a trainer that does only what is asked."""

import csv
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import lightning
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from saccade.tasks import callbacks
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.segmentation.module import SegmentationModule


class Stage:
    """Drives callbacks as Lightning does."""

    def __init__(self, run: Path, **settings) -> None:
        self.clock = TrainingClock(settings.pop("max_seconds", None))
        self.keeper = Keeper(run, self.clock, **{"keep": "best", "patience": None, **settings})
        self.module = Mock(spec=SegmentationModule, best_network=nn.Linear(1, 1, bias=False))
        self.trainer = Mock(
            spec=lightning.Trainer,
            current_epoch=0, global_step=0, callback_metrics={}, should_stop=False, loggers=[],
            is_global_zero=True, world_size=1,
            optimizers=[SimpleNamespace(param_groups=[{"lr": 0.25, "factor": 0.5}])],
            save_checkpoint=lambda path: Path(path).write_text(f"epoch {self.trainer.current_epoch}"),
        )  # fmt: skip

    def epoch(self, weight: float, score: float | None, losses=(1.0, 3.0)) -> None:
        nn.init.constant_(self.module.best_network.weight, weight)
        for loss in losses:
            self.trainer.global_step += 1
            self.keeper.on_train_batch_end(self.trainer, self.module, {"loss": torch.tensor(loss)}, None, 0)
        if score is not None:
            self.trainer.callback_metrics["val_dice"] = torch.tensor(score)
            self.keeper.on_validation_end(self.trainer, self.module)
        self.keeper.on_train_epoch_end(self.trainer, self.module)
        self.trainer.current_epoch += 1


def kept(run: Path) -> float:
    return load_file(run / "model.safetensors")["weight"].item()


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").open()))


@pytest.mark.parametrize(("keep", "weights"), [("best", [1, 2, 2, 4]), ("last", [1, 2, 3, 4])])
def test_which_weights_are_kept(tmp_path, keep, weights) -> None:
    stage, seen = Stage(tmp_path, keep=keep), []
    for weight, score in ((1.0, 0.2), (2.0, 0.6), (3.0, 0.5), (4.0, 0.7)):
        stage.epoch(weight, score)
        seen.append(kept(tmp_path))
    assert seen == weights
    assert stage.keeper.best_epoch == 3
    assert (tmp_path / "last.ckpt").read_text("utf-8") == "epoch 3"


def test_until_the_first_validation_the_latest_are_kept(tmp_path) -> None:
    stage = Stage(tmp_path)
    for weight, score in ((1.0, None), (2.0, None), (3.0, 0.1), (4.0, None)):
        stage.epoch(weight, score)
        assert kept(tmp_path) == min(weight, 3)
    scores = [row["val_dice"] for row in rows(tmp_path)]
    assert scores[:2] == ["", ""]
    assert float(scores[2]) == pytest.approx(0.1)
    assert scores[3] == ""  # an old score is not written twice


def test_training_stops_early_when_nothing_gets_better(tmp_path) -> None:
    stage, stopped = Stage(tmp_path, patience=2), []
    for score in (0.5, 0.4, None, 0.6, 0.6, 0.1):
        stage.epoch(1.0, score)
        stopped.append(stage.trainer.should_stop)
    assert stopped == [False, False, False, False, False, True]


def test_the_history_by_hand(tmp_path) -> None:
    stage = Stage(tmp_path)
    stage.epoch(1.0, 0.25, losses=(1.0, 3.0))
    stage.epoch(1.0, 0.5, losses=(0.5,))
    first, second = rows(tmp_path)
    assert first == {
        "epoch": "0", "step": "2", "seconds": "0.0", "train_loss": "2.0", "learning_rate": "0.5", "val_dice": "0.25",
    }  # fmt: skip
    assert (second["epoch"], second["step"], second["train_loss"]) == ("1", "3", "0.5")


def test_what_is_remembered_goes_on_and_lost_epochs_are_written_anew(tmp_path) -> None:
    stage = Stage(tmp_path)
    stage.epoch(1.0, 0.5)
    state = stage.keeper.state_dict()
    stage.epoch(2.0, 0.9)
    again = Stage(tmp_path)
    again.keeper.load_state_dict(state)
    again.trainer.current_epoch, again.trainer.global_step = 1, 2
    again.epoch(3.0, 0.4)
    assert [row["epoch"] for row in rows(tmp_path)] == ["0", "1"]
    assert kept(tmp_path) == 2  # 0.4 is worse than the 0.5 of before, nothing is written
    assert again.keeper.best == 0.5


def test_the_clock_counts_training_and_nothing_else(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])
    clock, module = TrainingClock(10.0), Mock(spec=SegmentationModule, seconds_left=None)
    trainer = Mock(spec=lightning.Trainer, should_stop=False, world_size=1)

    def step(seconds: float) -> None:
        clock.on_train_batch_start(trainer, module, None, 0)
        now[0] += seconds
        clock.on_train_batch_end(trainer, module, None, None, 0)

    clock.on_train_epoch_start(trainer, module)
    now[0] += 1  # waiting for data belongs to training
    step(2)
    assert (clock.seconds, module.seconds_left) == (3, 9)
    assert clock.waiting == 1
    clock.on_validation_start(trainer, module)
    now[0] += 100
    clock.on_validation_end(trainer, module)
    clock.on_train_epoch_end(trainer, module)
    now[0] += 100
    clock.on_train_epoch_start(trainer, module)
    step(6.5)
    assert not trainer.should_stop
    other = TrainingClock(10.0)
    other.load_state_dict(clock.state_dict())
    assert other.seconds == 9.5
    step(0.5)
    assert trainer.should_stop
    assert clock.seconds == 10
