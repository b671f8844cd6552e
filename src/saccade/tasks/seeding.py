"""Random numbers that follow from a few integers, and a program's own generators left as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator_of(*numbers: int) -> torch.Generator:
    """A generator of its own, seeded with a function of these integers."""
    return torch.Generator().manual_seed(hash(numbers) % 2**63)


def seed_generators(*numbers: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices) with a function of these integers."""
    seed = hash(numbers) % 2**32
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave the global generators behind as they were found."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
