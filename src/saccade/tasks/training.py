"""A training from its first step to its scores, of whatever task."""

from typing import Any

from torch import nn

from saccade.tasks.devices import Devices, together
from saccade.tasks.fitting import Job, Say
from saccade.tasks.summary import write_summary
from saccade.tasks.task import Task
from saccade.tasks.weights import load_weights


def train_and_score(task: Task, job: Job, network: nn.Module, *, devices: Devices, say: Say) -> Any:
    """Train, keep the weights, predict and score the held-out cases. Everything ends in the run's folder.

    Args:
        task: The kind of problem.
        job: What is to be trained.
        network: Its network, with the first weights.
        devices: What it runs on.
        say: Gets a line at each step.

    Returns:
        The task's predictor.

    Raises:
        InputError: If a case or the network cannot be used.
        RunError: If training diverges.
    """
    with together(devices, job):
        keeper, clock = task.fit(job, network, devices=devices, rank=0, say=say)
    best = load_weights(network, job.run / "model.safetensors")
    predictor, scores = task.finish(job, best, device=devices.kind, say=say)
    write_summary(job.config, network, job.run, keeper=keeper, clock=clock, scores=scores)
    return predictor
