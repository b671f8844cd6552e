"""Where a network looked, and what it made of it.

Everything is imported on first use, so that pictures can be drawn without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "GateActivations": "activations",
    "Picture": "draw_picture",
    "draw": "draw_maps",
    "gate_activations": "activations",
    "gates_of": "activations",
}

__all__ = ["GateActivations", "Picture", "draw", "gate_activations", "gates_of"]

if TYPE_CHECKING:
    from saccade.explain.activations import GateActivations, gate_activations, gates_of
    from saccade.explain.draw_maps import draw
    from saccade.explain.draw_picture import Picture


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"saccade.explain.{_HOME[name]}"), name)
    raise AttributeError(f"module 'saccade.explain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
