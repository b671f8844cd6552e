"""Several trained classifiers or regressions as one: what they say of an image is averaged."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.tasks.classification.predictor import ClassificationPredictor, ImagePredictor, Picture
from saccade.tasks.members import check_members

# What must be the same, in words, and the entry of `config.data` that says it. Each member prepares images in its own
# way: size and intensity, which every fold plans from its own training images, may differ.
_SHARED = {"kind of target": "kind", "classes": "classes", "targets": "columns"}


def ensemble_of(predictors: Sequence[ClassificationPredictor]) -> "EnsemblePredictor":
    """One predictor out of several: the mean of their calibrated probabilities, or of a regression's numbers.

    Args:
        predictors: At least one; trained for the same targets, with the classes in the same order.

    Raises:
        InputError: If there is none, or one differs from the first; the line says in what.
    """
    check_members([predictor.config.data for predictor in predictors], _SHARED)
    return EnsemblePredictor(predictors)


class EnsemblePredictor(ImagePredictor):
    """What `ensemble_of` makes; used as any other predictor. Its ``config`` is the first member's."""

    def __init__(self, members: Sequence[ClassificationPredictor]) -> None:
        self.members, self.config = list(members), members[0].config

    def assess(self, images: Sequence[Picture]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b k"]]:
        """Mean values, and the scores of all members, one member's behind the other's."""
        found = [member.assess(images) for member in self.members]
        return torch.stack([values for values, _ in found]).mean(0), torch.cat([scores for _, scores in found], 1)
