"""Cases prepared once and kept, the training items and the held-out items made of them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from saccade.tasks.seeding import generator_of

CaseT = TypeVar("CaseT")
ItemT = TypeVar("ItemT", bound=tuple[Any, ...])
Look = Callable[[Any, Any], None]


class Prepared(Dataset, Generic[CaseT, ItemT], ABC):
    """Cases as a network takes them, prepared once and kept in memory as far as ``training.cache_memory_gb`` goes.

    Args:
        cases: With what is to be learnt of them.
        config: Preparation, and how much memory may be used.
    """

    def __init__(self, cases: Sequence[CaseT], config: Any) -> None:
        self.cases, self.config = list(cases), config
        self._left = int(config.training.cache_memory_gb * 2**30)
        self._kept: dict[int, ItemT] = {}

    @abstractmethod
    def make(self, index: int) -> ItemT:
        """Prepare a case.

        Raises:
            InputError: If it cannot be used.
        """

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> ItemT:
        if index in self._kept:
            return self._kept[index]
        item = self.make(index)
        if (size := _bytes(item)) <= self._left:
            self._left -= size
            self._kept[index] = item
        return item

    def prepare(self, look: Look = lambda case, item: None) -> None:
        """Look at every case now, so that a bad one is found before hours of training, and keep what fits.

        Args:
            look: Gets each case and its item; raises for one that cannot be used.

        Raises:
            InputError: If a case cannot be used.
        """
        for index, case in enumerate(self.cases):
            look(case, self[index])


class Views(Dataset, Generic[ItemT], ABC):
    """Training items; item (epoch, position, case) is always the same view, whoever asks for it and when."""

    def __init__(self, prepared: Prepared[Any, ItemT]) -> None:
        self.prepared = prepared

    @abstractmethod
    def view(self, index: int, generator: torch.Generator) -> tuple[Any, ...]:
        """A view of a prepared case in which all that is random comes from the generator."""

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Any, ...]:
        epoch, position, index = key
        seed = self.prepared.config.training.seed
        return self.view(index, generator_of(seed, epoch, position, index))


class Numbered(Dataset):
    """Chosen held-out items, each with the number of its case in front."""

    def __init__(self, prepared: Prepared[Any, Any], numbers: Sequence[int]) -> None:
        self.prepared, self.numbers = prepared, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        number = self.numbers[index]
        return (number, *self.prepared[number])


def prepare_all(
    parts: Sequence[Prepared[Any, Any]],
    say: Callable[[str], None],
    *,
    look: Look = lambda case, item: None,
    more: str = "",
) -> None:
    """Prepare all cases of some parts.

    Args:
        parts: Of the cases.
        say: Gets a line that tells how long it took.
        look: As in `Prepared.prepare`.
        more: What the line says else.

    Raises:
        InputError: If a case cannot be used.
    """
    began = time.perf_counter()
    for part in parts:
        part.prepare(look)
    say(f"cases  read and prepared in {time.perf_counter() - began:.0f} s{more}")


def _bytes(part: Any) -> int:
    """Of the tensors in an item; what else is in it is small."""
    if isinstance(part, Tensor):
        return part.nbytes
    return sum(map(_bytes, part)) if isinstance(part, tuple | list) else 0
