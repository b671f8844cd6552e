"""The fast ways of pairwise attention, taken also where positions are so few that the plain ones would be."""

import contextlib
from collections.abc import Iterator

import pytest

from saccade.attention.pairwise import additive, hinge, softmax


@contextlib.contextmanager
def fast_ways() -> Iterator[None]:
    """Inside the block every size counts as large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hinge, "SMALL_PLANE", 0)
        patch.setattr(softmax, "LARGE_PLANE", 0)
        patch.setattr(additive, "BLOCK", 16)
        yield
