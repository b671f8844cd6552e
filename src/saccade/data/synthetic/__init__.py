"""Simulated data: patients that nobody has to be asked for, and what trivial methods score on them.

Names are imported on first use, so that the table of kinds can be read without anything heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "make_abdomen": "saccade.data.synthetic.abdomen",
    "shortcut_scores": "saccade.data.synthetic.shortcuts",
    "simulate_abdomen": "saccade.data.synthetic.abdomen",
}

__all__ = ["make_abdomen", "shortcut_scores", "simulate_abdomen"]

if TYPE_CHECKING:
    from saccade.data.synthetic.abdomen import make_abdomen, simulate_abdomen
    from saccade.data.synthetic.shortcuts import shortcut_scores


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
