"""Whether a map tells the truth about the network: does it add up, does the network need what it marks, does it change
with the weights, and does it lie where the evidence is known to be."""

from saccade.explain.faithfulness.agreement import Agreement, agreement_mm, energy_inside, pointing_game
from saccade.explain.faithfulness.curves import Curve, deletion, insertion
from saccade.explain.faithfulness.randomisation import Randomisation, parameter_randomisation
from saccade.explain.faithfulness.similarity import stability
from saccade.explain.faithfulness.sum_to_score import SumToScore, sum_to_score
from saccade.explain.faithfulness.verdict import Verdict, verify

__all__ = [
    "Agreement",
    "Curve",
    "Randomisation",
    "SumToScore",
    "Verdict",
    "agreement_mm",
    "deletion",
    "energy_inside",
    "insertion",
    "parameter_randomisation",
    "pointing_game",
    "stability",
    "sum_to_score",
    "verify",
]
