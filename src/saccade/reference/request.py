"""What a builder of a published class is told beside that class's own arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """How linear interpolation aligns grids, and names and shapes of the weights to come (None, {} if there are none).

    They tell apart classes that share their name and their arguments.
    """

    align_corners: bool
    state_keys: frozenset[str] | None
    state_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
