"""Simulated data: patients that nobody has to be asked for, and what trivial methods score on them."""

from saccade.data.synthetic.abdomen import make_abdomen, simulate_abdomen
from saccade.data.synthetic.shortcuts import shortcut_scores

__all__ = ["make_abdomen", "shortcut_scores", "simulate_abdomen"]
