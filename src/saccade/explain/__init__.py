"""Where a network looked, and what it made of it.

Everything is imported on first use, so that pictures can be drawn without torch.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["GateActivations", "gate_activations", "gates_of"]

if TYPE_CHECKING:
    from saccade.explain.activations import GateActivations, gate_activations, gates_of


def __getattr__(name: str) -> Any:
    if name in __all__:
        from saccade.explain import activations

        return getattr(activations, name)
    raise AttributeError(f"module 'saccade.explain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
