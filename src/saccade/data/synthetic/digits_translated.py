"""Digits anywhere on an empty picture, as in Mnih et al. 2014, arXiv:1406.6247, section 4.1."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from saccade.data.synthetic.digits import make_scattered


def make(
    out: Path,
    *,
    cases: int,
    seed: int,
    progress: Callable[[int, int], Any] | None = None,
    canvas: int = 60,
    digits: Path | None = None,
) -> list[str]:
    """`make_scattered` without pieces of other digits; the paper's pictures have 60 x 60 pixels."""
    return make_scattered(out, cases=cases, seed=seed, canvas=canvas, digits=digits, progress=progress)
