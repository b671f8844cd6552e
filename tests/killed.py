"""A real process that trains and is killed at a chosen moment."""

import multiprocessing
import os
import signal
from pathlib import Path

from tiny import NETWORK, QUICK


def train_and_die(data: Path, run: Path, moment: str, more: tuple[str, ...] = ()) -> None:
    """Run ``saccade train`` in a process of its own that gets SIGKILL.

    Args:
        data: The data set.
        run: The run's folder.
        moment: ``name:3``: right before the third file of that name takes its place; ``step:3``: in the third step.
        more: Words of the command line, the last ones.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["saccade.runs", "saccade.cli.main", "tensorboard"])
    process = context.Process(target=_train, args=(data, run, *moment.split(":"), more))
    process.start()
    process.join(60)
    alive = process.is_alive()
    process.kill()
    assert not alive
    assert process.exitcode == -signal.SIGKILL, f"{moment} was never reached"


def _train(data: Path, run: Path, name: str, count: str, more: tuple[str, ...]) -> None:
    import torch

    from saccade.cli.main import main
    from saccade.tasks import check
    from saccade.tasks.segmentation.module import SegmentationModule

    torch.set_num_threads(1)
    check.STEPS = 2
    left = int(count)
    replace, step = os.replace, SegmentationModule.training_step

    def arrived(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_replace(source, target) -> None:
        arrived(Path(target).name)
        replace(source, target)

    def dying_step(self, batch, index):
        arrived("step")
        return step(self, batch, index)

    os.replace, SegmentationModule.training_step = dying_replace, dying_step
    main(["train", "attention-unet", "--data", str(data), "--out", str(run), *QUICK, *NETWORK["attention-unet"], *more])
