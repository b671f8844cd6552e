"""The learning-rate range test: a short training whose rate rises until the loss diverges.

Smith 2017, arXiv:1506.01186, section 3.3, in fastai's form: the rate grows by the same factor with each step, and the
test ends where the running mean of the loss is four times its least. The curve that is read is smoothed about each
step: fastai reads the running mean, which lags dozens of steps behind, and so finds rates that are too high.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from scipy.ndimage import gaussian_filter1d

from saccade import runs
from saccade.errors import InputError, RunError
from saccade.tasks.devices import Devices
from saccade.tasks.fitting import Job, Say
from saccade.tasks.initialise import initialise
from saccade.tasks.layer_groups import with_layer_groups
from saccade.tasks.parameters import freeze
from saccade.tasks.settings import merge
from saccade.tasks.task import find_task

MEMORY = 0.9  # of the running mean that ends the test
DIVERGED = 4.0  # times the least loss
WIDTH = 0.025  # deviation of the Gaussian that smooths the curve, as a part of the steps
LEAST_STEPS = 10  # fewer than these tell nothing


@dataclass(frozen=True)
class RateCurve:
    """What the test saw.

    Attributes:
        rates: (n,) Learning rate of each step.
        losses: (n,) Loss of each step.
        smoothed: (n,) The losses, smoothed by a Gaussian.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest, per factor of the rate, before it is least."""
        before = self.smoothed[: max(2, int(self.smoothed.argmin()) + 1)]
        slope = np.gradient(before, np.log(self.rates[: len(before)]))
        return float(self.rates[slope.argmin()])

    @property
    def tenth_of_least(self) -> float:
        """A tenth of the rate at which the smoothed loss is least."""
        return float(self.rates[self.smoothed.argmin()] / 10)


def find_rate(
    system: str,
    data: Path | str,
    *,
    preset: str = "default",
    split: tuple[int, int] = (0, 5),
    overrides: Mapping[str, Any] | None = None,
    steps: int = 100,
    highest: float = 10.0,
    task: str | None = None,
    say: Say = lambda text: None,
) -> RateCurve:
    """Train for a moment at a rising learning rate; nothing of this training is kept.

    Args:
        system: As of `saccade.train`.
        data: As of `saccade.train`.
        preset: As of `saccade.train`.
        split: Fold and folds; only the training cases are used.
        overrides: Nested settings; ``training.init_from``, ``training.freeze`` and ``training.freeze_to`` count, too.
        steps: At most; fewer if the loss diverges.
        highest: Rate of the last step; the first one is 1e-6 of it.
        task: As of `saccade.train`.
        say: Gets a line at each step of the preparation.

    Raises:
        InputError: As `saccade.train`, or with too few steps.
    """
    if steps < LEAST_STEPS:
        raise InputError(f"lr-find: steps must be at least {LEAST_STEPS}, got {steps}.")
    wanted = {"schedule": "range_test", "learning_rate": highest, "epochs": 1, "steps_per_epoch": steps,
              "max_seconds": None, "loggers": []}  # fmt: skip
    devices = Devices()
    config, _, cases, _ = runs.plan_run(
        system,
        data,
        preset=preset,
        split=split,
        overrides=merge(overrides or {}, {"training": wanted}),
        device=devices.kind,
        task=task,
    )
    network = runs.make_network(config)
    config = with_layer_groups(config, network)
    freeze(network, config.training.freeze)
    if config.training.init_from is not None:
        say(f"init   {initialise(network, config.training.init_from).line()}")
    seen = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        job = Job(config, Path(folder), cases, [], resume=False, callbacks=[seen])
        try:
            find_task(config.task).fit(job, network, devices=devices, rank=0, say=say)
        except _SeenEnough:
            pass
        except RunError:  # a loss that is no number
            if len(seen.losses) < LEAST_STEPS:
                raise
    return seen.curve()


class _SeenEnough(Exception):  # noqa: N818 - no error
    """Ends the training."""


class _Watch(Callback):
    """Writes down rate and loss of each step, and ends the training when the loss diverges or the steps are done."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.least = self.mean = math.inf

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = float(outputs["loss"] if isinstance(outputs, Mapping) else outputs)
        group = trainer.optimizers[0].param_groups[-1]
        self.rates.append(group["lr"] / group["factor"])
        self.losses.append(loss)
        self.mean = loss if math.isinf(self.mean) else MEMORY * self.mean + (1 - MEMORY) * loss
        self.least = min(self.least, self.mean)
        if self.mean > DIVERGED * self.least:
            raise _SeenEnough

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        raise _SeenEnough

    def curve(self) -> RateCurve:
        """What was seen.

        Raises:
            InputError: If it is too little to tell anything.
        """
        if len(self.losses) < LEAST_STEPS:
            raise InputError(f"lr-find: the loss diverged after {len(self.losses)} steps, too few. Look at the data.")
        losses = np.array(self.losses)
        smoothed = gaussian_filter1d(losses, max(1.0, WIDTH * len(losses)), mode="nearest")
        return RateCurve(np.array(self.rates), losses, smoothed)
