"""How strongly each position looks at each other one, and sums of values under these weights.

One file for each form of the weights, all with the same two ways to compute: `Pairwise.weights` gives the map itself,
calling the module gives the sum without ever building the map where a faster way is known.
"""

from saccade.attention.pairwise.additive import Additive
from saccade.attention.pairwise.base import Pairwise, attend
from saccade.attention.pairwise.concatenation import Concatenation
from saccade.attention.pairwise.dot_product import DotProduct
from saccade.attention.pairwise.softmax import Softmax

__all__ = ["Additive", "Concatenation", "DotProduct", "Pairwise", "Softmax", "attend"]
