"""The order in which an epoch's cases come: a function of seed and epoch, shared out among processes."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from saccade.tasks.seeding import generator_of


class EpochSampler(Sampler):
    """Keys (epoch, position, case): each epoch a new order of all cases, repeated until the epoch is full.

    Args:
        cases: How many there are.
        length: Keys of an epoch, over all processes.
        seed: Of the order.
        share: With several processes (batch size over all, number of this one, how many): the keys of its part of each
            batch; all parts together are the batches of a single process.
        weights: How often each case is drawn, with replacement; None for each equally often.
    """

    def __init__(
        self,
        cases: int,
        length: int,
        seed: int,
        share: tuple[int, int, int] = (1, 0, 1),
        weights: Sequence[float] | None = None,
    ) -> None:
        self.cases, self.length, self.seed, self.share = cases, length, seed, share
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch, also the first one after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.share[2]

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        generator = generator_of(self.seed, self.epoch)
        order: list[int] = []
        if self.weights is not None:
            order = torch.multinomial(self.weights, self.length, replacement=True, generator=generator).tolist()
        while len(order) < self.length:
            order += torch.randperm(self.cases, generator=generator).tolist()
        batch, rank, processes = self.share
        for position, index in enumerate(order[: self.length]):
            if position % batch * processes // batch == rank:
                yield self.epoch, position, index
