"""How the learning rate changes over a training: what it is multiplied by, as a function of what is done."""

import math

from saccade.tasks.config import TrainingSettings

WARMUP = 0.03  # part of the training in which the learning rate rises from a tenth
LOWEST = 1e-6  # the range test's first rate, as a part of the last


def schedule_factor(settings: TrainingSettings, progress: float, *, epoch: int, steps: int) -> float:
    """What the learning rate is multiplied by.

    ``warmup_cosine`` rises from a tenth and falls to 0 as a cosine, ``polynomial`` is (1 - p)^0.9, ``halving`` halves
    every 250 epochs, ``constant`` is 1, ``one_cycle`` is a triangle (see `triangle`), ``range_test`` rises from 1e-6 to
    1, by the same factor with each step.

    Args:
        settings: Of the training.
        progress: p, from 0 to 1.
        epoch: Epochs done.
        steps: Of the whole training.
    """
    if settings.schedule == "polynomial":
        return (1 - progress) ** 0.9
    if settings.schedule == "halving":
        return 0.5 ** (epoch // 250)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "one_cycle":
        return triangle(progress * steps, steps, divisor=settings.one_cycle.divisor, cut=settings.one_cycle.cut)
    if settings.schedule == "range_test":
        return LOWEST ** (1 - progress)
    if progress < WARMUP:
        return 0.1 + 0.9 * progress / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def triangle(step: float, steps: int, *, divisor: float, cut: float) -> float:
    """A rise from 1 / divisor to 1 and a slower fall back: fastai's ``use_clr=(divisor, cut)``, one cycle of it.

    Args:
        step: Steps done.
        steps: Of the cycle.
        divisor: How much lower the ends are than the peak.
        cut: The peak is at step ``steps // cut``.

    >>> [round(triangle(step, 100, divisor=20.0, cut=4.0), 3) for step in (0.0, 25.0, 50.0, 99.0)]
    [0.05, 1.0, 0.683, 0.063]
    """
    peak = max(1, int(steps // cut))
    height = step / peak if step <= peak else 1 - (step - peak) / (steps - peak)
    return (1 + height * (divisor - 1)) / divisor
