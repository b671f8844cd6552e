"""Where the curves of a training go beside metrics.csv: TensorBoard's files and an MLflow tracking store."""

import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from saccade.errors import InputError
from saccade.files import read_json, write_json

FOLDER = "mlflow"
VARIABLE = "MLFLOW_TRACKING_URI"
CURVE = "train_loss"  # every row of metrics.csv has one


def make_loggers(
    names: tuple[str, ...],
    run: Path,
    *,
    steps_done: int,
    rank: int,
    mlflow: Callable[[], "MlflowRun"],
) -> list[Logger]:
    """The loggers of these names for Lightning's trainer; ``csv`` is none, metrics.csv is always written.

    Args:
        names: ``csv``, ``tensorboard``, ``mlflow``.
        run: The run's folder.
        steps_done: Before this resume; what TensorBoard has of later ones is dropped, they are done again.
        rank: Number of this process; only the first one opens MLflow's store.
        mlflow: Opens it.

    Raises:
        InputError: If MLflow's store cannot be opened.
    """
    loggers: list[Logger] = []
    if "tensorboard" in names:
        purge_step = steps_done + 1 if steps_done else None
        loggers.append(TensorBoardLogger(run, name="", version="tensorboard", purge_step=purge_step))
    if "mlflow" in names and rank == 0:
        loggers.append(mlflow())
    return loggers


def need_mlflow(tracking_uri: str | None) -> None:
    """Refuse what is not installed, before any work.

    Args:
        tracking_uri: As set by the user; None where neither he nor the environment says one.

    Raises:
        InputError: If MLflow, or what its store in a file needs, is missing.
    """
    uri = tracking_uri or os.environ.get(VARIABLE)
    for package in ("mlflow", "sqlalchemy", "alembic") if uri is None else ("mlflow",):
        if find_spec(package) is None:
            raise InputError(
                f"training.loggers: mlflow needs the package {package}. Install it with: pip install 'saccade[mlflow]'"
            )


class MlflowRun(MLFlowLogger):
    """A run in an MLflow tracking store that has each row of metrics.csv once, however often the training is resumed.

    A new run gets the settings as parameters. Its id is kept in ``mlflow/run.json``, and a training that is resumed
    goes on in it. When the store fails later on, training goes on without it.

    Args:
        run: The run's folder.
        tracking_uri: Address of the store; None for what ``MLFLOW_TRACKING_URI`` says, else ``mlflow/mlflow.db`` in the
            run's folder, wherever that has been moved.
        experiment: Name of the experiment.
        settings: Of the run, by section.
        say: Gets a line when the store fails.

    Raises:
        InputError: If MLflow is not installed, the store cannot be opened, or has no such run to go on in.
    """

    def __init__(
        self,
        run: Path,
        *,
        tracking_uri: str | None,
        experiment: str,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        need_mlflow(tracking_uri)
        # scans must not leave a hospital, and neither must word of their use
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        uri = tracking_uri or os.environ.get(VARIABLE)
        folder, about = (run / FOLDER).resolve(), run / FOLDER / "run.json"
        run_id = read_json(about)["run_id"] if about.is_file() else None
        self._say, self._failed = say, False
        self._steps = 0
        try:
            with _left_alone():
                if uri is None:
                    folder.mkdir(parents=True, exist_ok=True)
                super().__init__(
                    experiment,
                    run_name=run.resolve().name,
                    tracking_uri=uri or f"sqlite:///{folder / 'mlflow.db'}",
                    artifact_location=str(folder / "artifacts") if uri is None else None,
                    run_id=run_id,
                )
                client = self.experiment
                if run_id is None:
                    self.log_hyperparams(_parameters(settings))
                else:
                    client.update_run(run_id, status="RUNNING")
                    self._steps = max((m.step for m in client.get_metric_history(run_id, CURVE)), default=0)
        except Exception as error:  # MLflow, its database and its requests each have errors of their own
            which = f"has no run {run_id} to go on in" if run_id else "cannot be opened"
            raise InputError(f"mlflow: the tracking store {which} ({_line(error)}). See training.mlflow.") from None
        if run_id is None:
            write_json(about, {"run_id": self.run_id})

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row of metrics.csv, unless it was logged before; what else Lightning has to log is part of one."""
        if CURVE not in metrics or step is None or step <= self._steps or self._failed:
            return
        with self._forgiving():
            super().log_metrics({_metric(name): value for name, value in metrics.items()}, step)
            self._steps = step

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Tell the store how the training ended."""
        if not self._failed:
            with self._forgiving():
                super().finalize(status)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # hours of training are worth more than their curve in another place
            self._failed = True
            self._say(
                f"mlflow the tracking store failed ({_line(error)}); training goes on, metrics.csv has everything"
            )


@contextmanager
def _left_alone() -> Iterator[None]:
    """What Lightning sets for the whole process stays as it was: another training has a store of its own."""
    before = os.environ.get(VARIABLE)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    store = mlflow.get_tracking_uri()
    try:
        yield
    finally:
        mlflow.set_tracking_uri(store)
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def _parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Two levels deep, ``training.loss``; what is deeper has names that MLflow would not take."""
    flat: dict[str, Any] = {}
    for section, value in settings.items():
        flat |= (
            {f"{section}.{name}": v for name, v in value.items()} if isinstance(value, Mapping) else {section: value}
        )
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in flat.items()}


def _metric(name: str) -> str:
    """A name that MLflow takes, readable in any script's letters that have a Latin base."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-zA-Z0-9_. -]+", " ", plain).split())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
