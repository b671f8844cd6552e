"""What the small experiments share: a network that learns from drawn batches, and is scored on others."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network takes, and the classes
Draw = Callable[[torch.Generator, int], Batch]
Forward = Callable[..., Tensor]
TEST_SEED = 10_000  # far from the seeds that batches to learn from are drawn with
TEST_CASES = 2_000
AT_ONCE = 200


def learn(
    network: nn.Module,
    draw: Draw,
    *,
    steps: int,
    seed: int,
    rate: float = 3e-3,
    batch: int = 64,
    forward: Forward | None = None,
) -> float:
    """Adam on the cross-entropy of freshly drawn batches; gives the mean loss of the last tenth.

    Args:
        network: Trained in place.
        draw: Makes a batch.
        steps: Of the optimiser.
        seed: Of the batches.
        rate: Learning rate.
        batch: Cases of a batch.
        forward: From what is drawn to scores; the network itself if it is not given.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    network.train()
    for _ in range(steps):
        inputs, targets = draw(generator, batch)
        loss = functional.cross_entropy((forward or network)(*inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    network.eval()
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


@torch.inference_mode()
def accuracy(network: nn.Module, draw: Draw, *, seed: int, forward: Forward | None = None) -> float:
    """Share of 2,000 other cases that are told right."""
    generator, right = torch.Generator().manual_seed(TEST_SEED + seed), 0
    for _ in range(TEST_CASES // AT_ONCE):
        inputs, targets = draw(generator, AT_ONCE)
        right += int(((forward or network)(*inputs).argmax(1) == targets).sum())
    return right / TEST_CASES


def parameters(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(p.numel() for p in network.parameters())
