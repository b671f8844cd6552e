"""Saccade: visual attention in images and volumes; train it, see where it looked, measure whether it helped.

Everything public is imported on first use, so that ``import saccade`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AttentionMap": "saccade.attention.tap",
    "Volume": "saccade.data.volume",
    "attach": "saccade.attention.attach",
    "build": "saccade.systems",
    "detach": "saccade.attention.attach",
    "from_reference": "saccade.reference",
    "list_systems": "saccade.systems",
    "load": "saccade.runs",
    "load_reference": "saccade.reference",
    "read_volume": "saccade.data.volume",
    "record": "saccade.attention.tap",
    "train": "saccade.runs",
    "write_volume": "saccade.data.volume",
}
_PACKAGES = ("attention", "data", "explain", "layers", "losses", "metrics", "networks", "systems", "tasks")

__all__ = [  # noqa: RUF022 (objects first, then packages)
    "AttentionMap",
    "Volume",
    "attach",
    "build",
    "detach",
    "from_reference",
    "list_systems",
    "load",
    "load_reference",
    "read_volume",
    "record",
    "train",
    "write_volume",
    "attention",
    "data",
    "explain",
    "layers",
    "losses",
    "metrics",
    "networks",
    "systems",
    "tasks",
    "__version__",
]

if TYPE_CHECKING:
    from saccade.attention.attach import attach, detach
    from saccade.attention.tap import AttentionMap, record
    from saccade.data.volume import Volume, read_volume, write_volume
    from saccade.reference import from_reference, load_reference
    from saccade.runs import load, train
    from saccade.systems import build, list_systems


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _PACKAGES:
        return importlib.import_module(f"saccade.{name}")
    raise AttributeError(f"module 'saccade' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
