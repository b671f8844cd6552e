"""Digits anywhere among pieces of other digits, as in Mnih et al. 2014, arXiv:1406.6247, section 4.1."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from saccade.data.synthetic.digits import make_scattered

PIECES_OF_100, PIECES_OF_LESS = 8, 4  # the paper's, for 100 x 100 and for 60 x 60


def make(
    out: Path,
    *,
    cases: int,
    seed: int,
    progress: Callable[[int, int], Any] | None = None,
    canvas: int = 100,
    pieces: int | None = None,
    digits: Path | None = None,
) -> list[str]:
    """`make_scattered` with 8 pieces of 8 x 8 from other digits, below 100 pixels with 4, unless ``pieces`` says so."""
    if pieces is None:
        pieces = PIECES_OF_100 if canvas >= 100 else PIECES_OF_LESS
    return make_scattered(out, cases=cases, seed=seed, canvas=canvas, pieces=pieces, digits=digits, progress=progress)
