"""What applying a trained network has in common whatever the task: the device, the precision, mirror images."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from saccade.errors import InputError
from saccade.tasks.environment import fast_bfloat16


def usable_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        InputError: If there is no such kind of device, or none on this machine.
    """
    kinds = ("cpu", "cuda", "mps", "xpu")
    if name.split(":")[0] not in kinds:
        raise InputError(f"device: must be {', '.join(kinds)}, with a number behind a colon, got '{name}'.")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:  # each backend has its own error for "not here"
        raise InputError(f"device: '{name}' cannot be used on this machine ({_first_line(error)}). Use cpu.") from None
    return device


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of the axes, the empty one first."""
    subsets: list[tuple[int, ...]] = [()]
    for axis in axes:
        subsets += [(*subset, axis) for subset in subsets]
    return subsets


def precision_of(trained: str, device: torch.device) -> AbstractContextManager[None]:
    """Numbers as a network was trained in, but never such as this device is slow with."""
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(trained)
    if half is None or (half == torch.bfloat16 and not fast_bfloat16(device.type)):
        return nullcontext()
    return torch.autocast(device.type, dtype=half)
