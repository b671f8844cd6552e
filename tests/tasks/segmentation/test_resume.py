"""Going on: bit for bit as if nothing had happened, whatever moment a run was killed at; and going on for longer."""

import json
import os
import shutil

import pytest
import torch
import yaml
from killed import train_and_die
from run_files import held_out, history, interrupt, same_weights
from tiny import files, train

from saccade.errors import InputError
from saccade.tasks import run_folder
from saccade.tasks.run_folder import working_in
from saccade.tasks.segmentation.module import SegmentationModule

pytestmark = pytest.mark.usefixtures("short_check")
THREE = ("--set", "training.epochs=3", "--set", "training.weight_averaging=0.9")


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """Three epochs that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train(pairs, run, *THREE) == 0
    return run


def same_end(a, b) -> bool:
    """Whether two runs ended with equal weights, averages and optimisers."""
    states = [torch.load(run / "last.ckpt", weights_only=True) for run in (a, b)]
    weights, moments = ([state["state_dict"], state["optimizer_states"][0]["state"]] for state in states)
    assert weights[0].keys() == moments[0].keys()
    assert weights[1].keys() == moments[1].keys()
    return all(torch.equal(weights[0][name], moments[0][name]) for name in weights[0]) and all(
        torch.equal(value, moments[1][number][name])
        for number, moment in weights[1].items()
        for name, value in moment.items()
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("moment", "epochs"),
    [
        ("config.yaml:1", None),
        ("model.safetensors:1", 0),
        ("step:4", 1),
        ("model.safetensors:2", 1),
        ("metrics.csv:2", 1),
        ("last.ckpt:2", 1),
        ("summary.json:1", 3),
    ],
)
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(pairs, whole, tmp_path, moment, epochs) -> None:
    run = tmp_path / "run"
    train_and_die(pairs, run, moment, THREE)
    done = torch.load(run / "last.ckpt", weights_only=True)["epoch"] + 1 if (run / "last.ckpt").exists() else 0
    assert done == (epochs or 0)
    # before there is a config.yaml no run has begun: the same command then begins it
    assert train(pairs, run, *THREE, *([] if epochs is None else ["--resume"])) == 0
    assert history(run) == history(whole)
    assert same_weights(run, whole)
    assert same_end(run, whole)
    left = {name for name in files(run) if not name.startswith("tensorboard/")}
    assert left == {name for name in files(whole) if not name.startswith("tensorboard/")}
    assert json.loads((run / "summary.json").read_text("utf-8"))["epochs"] == 3


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(pairs, tmp_path, capfd, monkeypatch) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    settings = ["--set", "training.epochs=4", "--set", "training.weight_averaging=0"]
    assert train(pairs, whole, *settings) == 0
    with monkeypatch.context() as patch:
        interrupt(patch, 2, KeyboardInterrupt())
        capfd.readouterr()
        assert train(pairs, stopped, *settings) == 130
    errors = capfd.readouterr().err
    assert errors.splitlines()[-1] == "saccade: stopped by Ctrl-C; what was finished is kept."
    assert "Traceback" not in errors
    assert [row["epoch"] for row in history(stopped)] == ["0", "1"]
    assert not any("partial" in name for name in files(stopped))
    steps = []
    with monkeypatch.context() as patch:
        step = SegmentationModule.training_step
        patch.setattr(SegmentationModule, "training_step", lambda *a: steps.append(a[0].current_epoch) or step(*a))
        assert train(pairs, stopped, *settings, "--resume") == 0  # the same command, and --resume
    assert steps == [2, 2, 3, 3]  # what was done is not done again
    assert history(stopped) == history(whole)
    assert same_weights(stopped, whole)
    ends = [torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (stopped, whole)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])
    assert json.loads((stopped / "summary.json").read_text("utf-8"))["epochs"] == 4


def test_a_finished_run_can_be_resumed(trained, pairs, tmp_path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "validation")
    (run / "summary.json").unlink()
    assert train(pairs, run, "--resume") == 0
    assert history(run) == history(trained)
    assert same_weights(run, trained)
    assert (run / f"validation/{held_out(run)}.nii.gz").is_file()
    before, after = (json.loads((folder / "summary.json").read_text("utf-8")) for folder in (trained, run))
    assert {**after, "peak_memory_bytes": 0} == {**before, "peak_memory_bytes": 0}


def test_what_a_network_draws_by_itself_is_drawn_again(pairs, tmp_path, monkeypatch) -> None:
    from torch import nn

    from saccade.networks import AttentionUNet

    forward = AttentionUNet.forward
    monkeypatch.setattr(AttentionUNet, "forward", lambda self, x: nn.functional.dropout3d(forward(self, x), 0.5))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(pairs, whole) == 0
    before = torch.random.get_rng_state()
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        assert train(pairs, stopped) == 130
    assert torch.equal(before, torch.random.get_rng_state())  # the program's own numbers are left alone
    torch.manual_seed(77)
    assert train(pairs, stopped, "--resume") == 0
    assert history(stopped) == history(whole)
    assert same_weights(stopped, whole)


def test_a_run_that_had_stopped_early_is_not_trained_on(pairs, tmp_path, monkeypatch) -> None:
    run, steps = tmp_path / "run", []
    hopeless = ["training.patience=1", "training.epochs=50", "training.learning_rate=1e-12"]
    settings = [part for text in hopeless for part in ("--set", text)]
    assert train(pairs, run, *settings) == 0
    before = history(run)
    assert len(before) < 50
    step = SegmentationModule.training_step
    monkeypatch.setattr(SegmentationModule, "training_step", lambda *a: steps.append(1) or step(*a))
    assert train(pairs, run, *settings, "--resume") == 0
    assert steps == []
    assert history(run) == before
    assert train(pairs, run, *settings, "--extend", "3") == 0
    assert steps != []  # whoever extends a run wants it to go on
    assert len(history(run)) > len(before)


def test_extending_plans_the_schedule_anew_and_says_so(pairs, tmp_path, capfd) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    assert train(pairs, run) == 0
    short = history(run)
    capfd.readouterr()
    assert train(pairs, run, "--extend", "2") == 0
    assert "plan   extended: 4 epochs in all, the schedule is planned anew" in capfd.readouterr().err
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert config["training"]["epochs"] == 4
    assert config["training"]["extensions"] == [{"until_epoch": 2, "epochs": 2, "max_seconds": None}]
    assert history(run)[:2] == short
    rates = [float(row["learning_rate"]) for row in history(run)]
    # cosine of 8 steps, rates of the last step in each epoch: those of a run of four epochs from the third one on
    assert train(pairs, tmp_path / "long", "--set", "training.epochs=4") == 0
    planned = [float(row["learning_rate"]) for row in history(tmp_path / "long")]
    assert rates[2:] == planned[2:]
    assert rates[1] != planned[1]
    # what is written down gives the same run from nothing
    given = ["--config", str(run / "config.yaml"), "--set", "training.epochs=4"]
    assert train(pairs, again, *given) == 0
    assert history(again) == history(run)
    assert same_weights(again, run)


def test_extending_by_seconds(pairs, tmp_path) -> None:
    run = tmp_path / "run"
    assert train(pairs, run) == 0
    spent = json.loads((run / "summary.json").read_text("utf-8"))["training_seconds"]
    assert train(pairs, run, "--extend", "0.3s") == 0
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert summary["training_seconds"] >= spent + 0.2  # both are rounded
    assert summary["epochs"] > 2


@pytest.mark.parametrize("by", ["0", "-3", "soon", "2.5", "s"])
def test_extensions_that_are_none(trained, pairs, tmp_path, capfd, by) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    assert train(pairs, run, f"--extend={by}") == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"saccade: --extend: must be epochs, like 20, or seconds, like 600s, got '{by}'."
    )
    assert (run / "config.yaml").read_text("utf-8") == (trained / "config.yaml").read_text("utf-8")


def test_a_run_without_an_epoch_cannot_be_extended(trained, pairs, tmp_path, capfd) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "last.ckpt").unlink()
    assert train(pairs, run, "--extend", "3") == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"saccade: {run}: nothing to extend, no epoch was finished. Use --resume."
    )


def test_two_processes_in_one_folder(trained, tmp_path, monkeypatch) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    (run / ".77.partial.last.ckpt").touch()
    monkeypatch.setattr(run_folder, "WAIT_SECONDS", 0.0)
    with working_in(run, fresh=False):
        assert not (run / ".77.partial.last.ckpt").exists()
        with pytest.raises(InputError) as error, working_in(run, fresh=False):
            pass
        assert str(error.value) == (
            f"{run}: another process is training in this folder. Wait for it, or choose another folder."
        )
    with working_in(run, fresh=False):  # the lock ends with the work
        assert files(run) == files(trained)
    with pytest.raises(InputError, match="must be new or empty"), working_in(run, fresh=True):
        pass
    assert files(run) == files(trained)
    assert not [name for name in os.listdir(run) if "lock" in name]
