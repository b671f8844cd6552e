"""What a builder of a published class is told beside that class's own arguments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """How linear interpolation aligns grids, and the names of the weights to come (None when there are none).

    Names tell apart classes that share theirs and their arguments.
    """

    align_corners: bool
    state_keys: frozenset[str] | None
