"""What every constructor and forward pass of a network refuses at the door."""

from collections.abc import Sequence

from torch import Tensor

from saccade.errors import InputError


def refuse_below_one(who: str, **numbers: int | Sequence[int]) -> None:
    """Nothing, if all numbers are at least 1 and no sequence is empty.

    Raises:
        InputError: Otherwise; the message names ``who`` and the argument.
    """
    for name, value in numbers.items():
        each = [value] if isinstance(value, int) else list(value)
        if not each or any(n < 1 for n in each):
            raise InputError(f"{who}: {name} must be at least 1, got {', '.join(map(str, each)) or 'none'}.")


def refuse_small(who: str, x: Tensor, least: int, way_out: str) -> None:
    """Nothing, if every axis of the input (b, c, *space) has at least so many positions.

    Raises:
        InputError: Otherwise; ``way_out`` is the last sentence of the message.
    """
    if min(x.shape[2:]) < least:
        raise InputError(f"{who}: every axis must have at least {least} positions, got {tuple(x.shape[2:])}. {way_out}")
