"""Several trained networks as one: their probabilities are averaged window by window."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.tasks.members import check_members
from saccade.tasks.segmentation.predictor import SegmentationPredictor

# What must be the same, in words, and the entry of `config.data` that says it.
_SHARED = {
    "classes": "label_names",
    "spacing": "spacing_mm",
    "channels": "channels",
    "intensity": "intensity",
    "patch size": "patch_size",
}


def ensemble_of(predictors: Sequence[SegmentationPredictor]) -> "EnsemblePredictor":
    """One predictor out of several: the mean of their softmax probabilities, one member after the other in memory.

    Windows overlap as in the first member's configuration; mirror images are each member's own affair. Attention maps
    are those of every member, named ``member1_<gate>`` and so on.

    Args:
        predictors: At least one. All must have been trained for the same classes and on data prepared in the same way,
            with the same patch size; the networks may differ.

    Raises:
        InputError: If there is none, or one differs from the first; the line says in what.
    """
    check_members([predictor.config.data for predictor in predictors], _SHARED)
    return EnsemblePredictor(predictors)


class EnsemblePredictor(SegmentationPredictor):
    """What `ensemble_of` makes; used as any other predictor.

    Its ``network`` holds the members' networks in their order, its ``config`` is the first member's.
    """

    def __init__(self, members: Sequence[SegmentationPredictor]) -> None:
        self.members = list(members)
        self.device, self.config = members[0].device, members[0].config
        self.network = nn.ModuleList([member.network for member in members])
        self._window_needs = {}

    def with_inference(self, changes: Mapping[str, object]) -> "EnsemblePredictor":
        """The same members, each with other inference settings."""
        return EnsemblePredictor([member.with_inference(changes) for member in self.members])

    def _windows(self, windows: Float[Tensor, "n c a b d"], names: list[str] | None) -> list[Tensor]:
        """Probabilities of windows, averaged over the members; then every member's attention maps."""
        total: Tensor | None = None
        maps: list[Tensor] = []
        labels: list[str] = []
        for number, member in enumerate(self.members, start=1):
            own: list[str] | None = None if names is None else []
            scores, *seen = member._windows(windows, own)
            shares = scores.softmax(1)
            del scores
            total = shares if total is None else total.add_(shares)
            maps += seen
            labels += [f"member{number}_{name}" for name in own or ()]
        assert total is not None  # there is at least one member
        if names is not None:
            names[:] = labels
        return [total.div_(len(self.members)), *maps]

    def _probabilities(self, scores: Float[Tensor, "k a b d"]) -> Float[Tensor, "k a b d"]:
        """Blended probabilities are probabilities, up to rounding."""
        return scores / scores.sum(0)
