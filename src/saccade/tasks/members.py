"""What several runs must share to be applied as one, whatever the task."""

from collections.abc import Mapping, Sequence
from typing import Any

from saccade.errors import InputError


def check_members(settings: Sequence[Any], shared: Mapping[str, str]) -> None:
    """Refuse members that do not say the same thing.

    Args:
        settings: ``config.data`` of each member.
        shared: What must be the same, in words -> the entry that says it.

    Raises:
        InputError: If there is no member, or one differs from the first; the line says in what.
    """
    if not settings:
        raise InputError("ensemble: must have at least one member, got none.")
    for number, data in enumerate(settings[1:], start=2):
        for what, entry in shared.items():
            wanted, found = getattr(settings[0], entry), getattr(data, entry)
            if found != wanted:
                raise InputError(
                    f"ensemble: all members must have the same {what}; member 1 has {_shown(wanted)}, "
                    f"member {number} {_shown(found)}. Train them with the same data.{entry}."
                )


def _shown(value: object) -> str:
    return "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}" if isinstance(value, Mapping) else str(value)
