"""From heat maps to landmarks that fit together: hypotheses, a CRF over them, and a second look at all pixels.

Mader et al. 2018, doi:10.1007/978-3-030-00934-2_63; the potentials are those of the same group's earlier work in their
standard form, as the paper's own formulas could not be had.
"""

from saccade.landmarks.crf import LandmarkCRF, Solution
from saccade.landmarks.hypotheses import Hypotheses, find_hypotheses
from saccade.landmarks.inference import minimise
from saccade.landmarks.learning import Example, fit_crf
from saccade.landmarks.potentials import POTENTIALS, PairStatistics, fit_pair, pair_energies

__all__ = [
    "POTENTIALS",
    "Example",
    "Hypotheses",
    "LandmarkCRF",
    "PairStatistics",
    "Solution",
    "find_hypotheses",
    "fit_crf",
    "fit_pair",
    "minimise",
    "pair_energies",
]
