"""What a network costs: parameters, arithmetic, time and memory of one prediction."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from saccade.layers.flops import count_flops

REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass.

    Attributes:
        parameters: Trainable numbers.
        gflop: Billions of floating-point operations (a multiply-add counts as two).
        seconds: Median of several passes after a first one.
        input_shape: Of the pass.
        threads: Cores used.
    """

    parameters: int
    gflop: float
    seconds: float
    input_shape: tuple[int, ...]
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@torch.inference_mode()
def measure_cost(network: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Measure one forward pass in evaluation mode, float32.

    Args:
        network: Left in the mode it was in. What its pass costs must not depend on the values of its input, unless it
            has ``example_input(shape)``, which then makes the input.
        shape: Of the input, (b, c, *space).
    """
    was_training = network.training
    network.eval()
    make: Callable[[tuple[int, ...]], torch.Tensor] = getattr(network, "example_input", torch.zeros)
    x = make(shape)
    with count_flops() as counter:
        network(x)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        network(x)
        seconds.append(time.perf_counter() - began)
    network.train(was_training)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    flops = counter.get_total_flops()
    return Cost(parameters, flops / 1e9, statistics.median(seconds), shape, torch.get_num_threads())
