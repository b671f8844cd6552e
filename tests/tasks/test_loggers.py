"""TensorBoard and MLflow beside metrics.csv: what they get, once, also when a training is stopped and resumed."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from run_files import interrupt
from tiny import files, train

from saccade.errors import InputError
from saccade.tasks import loggers
from saccade.tasks.loggers import MlflowRun

pytestmark = pytest.mark.usefixtures("short_check")
MLFLOW = ("--set", "training.loggers=[tensorboard,mlflow]")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path) -> None:
    """No store is set by the machine, and nothing may be written to the current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """An empty store; making its tables takes seconds, copying it does not."""
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    file = tmp_path_factory.mktemp("store") / "empty.db"
    client(file).search_experiments()
    return file


@pytest.fixture
def store(empty, tmp_path) -> Path:
    return Path(shutil.copy(empty, tmp_path / "store.db"))


def uri(file: Path) -> str:
    return f"sqlite:///{file}"


def client(file: Path):
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    return tracking.MlflowClient(uri(file))


def only_run(file: Path, experiment: str = "saccade"):
    """The one run in a store, and the store."""
    inside = client(file)
    found = inside.get_experiment_by_name(experiment)
    (run,) = inside.search_runs([found.experiment_id])
    return run, inside


def curve(file: Path, name: str = "train_loss", experiment: str = "saccade") -> list[tuple[int, float]]:
    run, inside = only_run(file, experiment)
    return [(metric.step, metric.value) for metric in inside.get_metric_history(run.info.run_id, name)]


def written(run: Path, name: str = "train_loss") -> list[tuple[int, float]]:
    return [(int(row["step"]), float(row[name])) for row in csv.DictReader((run / "metrics.csv").open())]


def test_a_run_in_its_own_store_is_gone_on_with(pairs, tmp_path, monkeypatch, capfd) -> None:
    pytest.importorskip("alembic", reason="alembic is not installed")
    run = tmp_path / "first"
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        assert train(pairs, run, *MLFLOW) == 130
    # Lightning would leave MLFLOW_TRACKING_URI for the next training to fall into
    assert [name for name in os.environ if name.startswith("MLFLOW_")] == ["MLFLOW_DISABLE_TELEMETRY"]
    found, _ = only_run(run / "mlflow/mlflow.db")
    assert (found.info.run_name, found.info.status) == ("first", "FAILED")
    assert found.data.params["training.batch_size"] == "2"
    assert found.data.params["network.channels"] == "[2, 4, 8]"
    assert found.data.params["data.label_names"] == '{"1": "label 1"}'
    assert json.loads((run / "mlflow/run.json").read_text("utf-8")) == {"run_id": found.info.run_id}
    moved = shutil.move(run, tmp_path / "second")
    capfd.readouterr()
    assert train(pairs, Path(moved), *MLFLOW, "--resume") == 0
    said = capfd.readouterr().err
    assert "mlflow" not in said
    assert "Experiment" not in said
    assert train(pairs, Path(moved), *MLFLOW, "--extend", "1") == 0
    again, _ = only_run(Path(moved) / "mlflow/mlflow.db")
    assert (again.info.run_id, again.info.status) == (found.info.run_id, "FINISHED")
    for name in ("train_loss", "val_dice", "val_dice label 1", "learning_rate"):
        assert curve(Path(moved) / "mlflow/mlflow.db", name) == written(Path(moved), name)
    assert [step for step, _ in written(Path(moved))] == [2, 4, 6]
    assert any(name.startswith("tensorboard/events") for name in files(Path(moved)))
    assert files(tmp_path / "cwd") == set()


def test_the_environment_names_a_store_and_the_setting_another(pairs, tmp_path, store, empty, monkeypatch) -> None:
    named = Path(shutil.copy(empty, tmp_path / "named.db"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri(store))
    assert train(pairs, tmp_path / "one", *MLFLOW) == 0
    assert os.environ["MLFLOW_TRACKING_URI"] == uri(store)
    assert curve(store) == written(tmp_path / "one")
    assert {name for name in files(tmp_path / "one") if "mlflow" in name} == {"mlflow/run.json"}
    more = ("--set", f"training.mlflow.tracking_uri={uri(named)}", "--set", "training.mlflow.experiment=gates")
    assert train(pairs, tmp_path / "two", *MLFLOW, *more) == 0
    assert curve(named, experiment="gates") == written(tmp_path / "two")
    only_run(store)  # nothing was added to it


def test_loggers_are_what_was_asked_for(pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "run", "--set", "training.loggers=[csv]") == 0
    assert not [name for name in files(tmp_path / "run") if name.startswith(("tensorboard", "mlflow"))]
    assert len(written(tmp_path / "run")) == 2
    assert files(tmp_path / "cwd") == set()


def open_run(run: Path, store: Path, said: list[str] | None = None) -> MlflowRun:
    say = (said if said is not None else []).append
    settings = {"system": "unet", "training": {"loss": "dice", "rates": {"a*": 0.1}}}
    return MlflowRun(run, tracking_uri=uri(store), experiment="saccade", settings=settings, say=say)


def test_a_step_that_is_done_again_is_logged_once(tmp_path, store) -> None:
    first = open_run(tmp_path / "run", store)
    for step, loss in ((5, 0.5), (10, 0.25)):
        first.log_metrics({"train_loss": loss, "val_dice Gefäß (links)": float("nan")}, step)
        first.log_metrics({"val_dice": 0.5, "epoch": 1.0}, step)  # Lightning's own, part of the next row
    second = open_run(tmp_path / "run", store)  # killed after step 10 was logged and before it was kept
    assert only_run(store)[0].info.status == "RUNNING"
    for step, loss in ((10, 0.25), (15, 0.125)):
        second.log_metrics({"train_loss": loss}, step)
    second.finalize("success")
    assert curve(store) == [(5, 0.5), (10, 0.25), (15, 0.125)]
    found, _ = only_run(store)
    assert set(found.data.metrics) == {"train_loss", "val_dice Gefa links"}
    assert found.data.params == {"system": "unet", "training.loss": "dice", "training.rates": '{"a*": 0.1}'}
    assert found.info.status == "FINISHED"


def test_a_store_that_fails_later_does_not_end_the_training(tmp_path, store, monkeypatch) -> None:
    said: list[str] = []
    run = open_run(tmp_path / "run", store, said)
    monkeypatch.setattr(run.experiment, "log_batch", lambda *_, **__: 1 / 0)
    run.log_metrics({"train_loss": 1.0}, 5)
    run.log_metrics({"train_loss": 0.5}, 10)
    run.finalize("success")
    assert said == ["mlflow the tracking store failed (division by zero); training goes on, metrics.csv has everything"]


def test_stores_that_cannot_be_used(tmp_path, store) -> None:
    for wrong, message in [
        ("nonsense://here", r"mlflow: the tracking store cannot be opened \(.+\)\. See training\.mlflow\."),
        (f"sqlite:///{store}/x.db", r"mlflow: the tracking store cannot be opened \(.+\)\. See "),
    ]:
        with pytest.raises(InputError, match=rf"^{message}") as error:
            MlflowRun(tmp_path / "run", tracking_uri=wrong, experiment="e", settings={}, say=print)
        assert "\n" not in str(error.value)
    (tmp_path / "run/mlflow").mkdir(parents=True)
    (tmp_path / "run/mlflow/run.json").write_text('{"run_id": "0123456789abcdef0123456789abcdef"}')
    with pytest.raises(InputError, match=r"^mlflow: the tracking store has no run 0123456789abcdef.* to go on in \("):
        open_run(tmp_path / "run", store)


@pytest.mark.parametrize("package", ["mlflow", "sqlalchemy"])
def test_what_is_not_installed_is_one_line(pairs, tmp_path, capfd, monkeypatch, package) -> None:
    there = loggers.find_spec
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == package else there(name))
    if package == "sqlalchemy" and there("mlflow") is None:
        pytest.skip("mlflow is not installed")
    assert train(pairs, tmp_path / "run", *MLFLOW) == 2
    assert capfd.readouterr().err == (
        f"saccade: training.loggers: mlflow needs the package {package}. "
        "Install it with: pip install 'saccade[mlflow]'\n"
    )
    assert not (tmp_path / "run").exists()
