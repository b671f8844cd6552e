"""Where the time of a training step goes: seconds, arithmetic, the processor's own rate, and each operator's share."""

import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from saccade.layers.flops import count_flops
from saccade.losses import dice_cross_entropy_loss
from saccade.systems import build

MATRIX, STEPS, SHOWN = 2048, 3, 8


def profile_step(
    system: str, *, classes: int, patch: tuple[int, ...], batch: int, channels: list[int]
) -> dict[str, Any]:
    """Profile forward pass, loss, backward pass and optimiser on random patches, in float32, channels last.

    Args:
        system: Its name.
        classes: With background.
        patch: Voxels.
        batch: Patches a step.
        channels: Widths of the network.
    """
    network = build(system, in_channels=1, out_channels=classes, channels=channels)
    network = network.to(memory_format=torch.channels_last_3d)
    x = torch.randn(batch, 1, *patch).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(0, classes, (batch, *patch))
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        dice_cross_entropy_loss(network(x), labels).backward()
        optimiser.step()

    with count_flops() as counter:
        step()
    seconds = min(_timed(step) for _ in range(STEPS))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    spent = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in seen.key_averages()}
    total = sum(spent.values())
    matrix = torch.randn(MATRIX, MATRIX)
    rate = 2 * MATRIX**3 / min(_timed(lambda: matrix @ matrix) for _ in range(STEPS))
    work = counter.get_total_flops()
    return {
        "seconds_per_step": seconds,
        "gflop_per_step": work / 1e9,
        "gflop_per_second": work / seconds / 1e9,
        "share_of_the_rate_of_matrix_products": work / seconds / rate,
        "share_of_time": {name: spent[name] / total for name in sorted(spent, key=lambda n: -spent[n])[:SHOWN]},
    }


def _timed(function: Any) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
