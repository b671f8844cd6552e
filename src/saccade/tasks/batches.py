"""The batches of a training: which of them a process gets, and in what order they come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from saccade.tasks.prepared import Numbered, Prepared, Views
from saccade.tasks.sampler import EpochSampler

Collate = Callable[[Any], Any]


@dataclass(frozen=True)
class Loaders:
    """Where a process's batches come from.

    Attributes:
        train: Its share of the training batches.
        validation: Its share of the held-out cases; None if there are none.
        look: All of the first batches, for the look before training.
    """

    train: DataLoader
    validation: DataLoader | None
    look: DataLoader


def make_loaders(
    views: Views[Any],
    held_out: Prepared[Any, Any],
    steps: int,
    place: tuple[int, int],
    *,
    weights: Sequence[float] | None = None,
    collate: Collate | None = None,
    collate_held_out: Collate | None = None,
) -> Loaders:
    """The batches of one process.

    Args:
        views: Training items.
        held_out: Cases to validate on, perhaps none.
        steps: Optimiser steps of an epoch.
        place: Number of the process, and how many there are.
        weights: How often each case is drawn; None for each equally often.
        collate: Makes a batch of training items that cannot be stacked.
        collate_held_out: Makes a batch of numbered held-out items; None for the same. Given, they come one by one.
    """
    rank, processes = place
    validation = None
    if len(held_out):
        numbered = Numbered(held_out, share_of_cases(len(held_out), rank, processes))
        size = 1 if collate_held_out else held_out.config.inference.batch_size
        validation = DataLoader(numbered, batch_size=size, collate_fn=collate_held_out or collate)
    train, look = (_training_batches(views, steps, of, weights, collate) for of in (place, (0, 1)))
    return Loaders(train, validation, look)


def _training_batches(
    views: Views[Any], steps: int, place: tuple[int, int], weights: Sequence[float] | None, collate: Collate | None
) -> DataLoader:
    settings = views.prepared.config.training
    share = (settings.batch_size, *place)
    return DataLoader(
        views,
        batch_size=settings.batch_size // place[1],
        sampler=EpochSampler(len(views), steps * settings.batch_size, settings.seed, share, weights),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=collate,
    )


def share_of_cases(cases: int, rank: int, processes: int) -> list[int]:
    """A process's held-out cases; all get equally many, so that none waits for the others in vain."""
    rounds = -(-cases // processes)
    return [(rank + turn * processes) % cases for turn in range(rounds)]
