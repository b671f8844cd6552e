"""Subject2Vec: one vector of a subject from any number of patches, of which attention picks those that matter.

Singla et al., 2018, https://arxiv.org/abs/1806.11217.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.scaled_dot_product import masked_softmax
from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.layers.dimensions import check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.patch_coder import PatchDecoder, PatchEncoder


@dataclass(frozen=True)
class Subject:
    """What the network says of each subject, with n patches.

    ``prediction`` (b, outputs), ``vector`` (b, features), ``weights`` (b, n): of each patch, summing to one over those
    that exist. ``reconstruction`` is as the patches that exist, one behind the other: (patches, c, *space).
    """

    prediction: Tensor
    vector: Tensor
    weights: Tensor
    reconstruction: Tensor


class SetAttention(nn.Module):
    """How much each member of a set counts, whatever their order and number.

    ``e(X) = sigmoid((X - 1 max_rows(X)) W + b)`` twice, to ``hidden`` numbers and to one, then a softmax over the set.
    As the last numbers lie in (0, 1), no weight is more than e times another.

    Args:
        channels: Features of a member.
        hidden: Units between. Default 64, as in the authors' code.
    """

    def __init__(self, channels: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.first: nn.Module = nn.Linear(channels, hidden)
        self.second: nn.Module = nn.Linear(hidden, 1)
        self.map = Tap("alignment")

    def weights(self, x: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b 1 n"]:
        """The attention itself: one weight for each member, zero where the mask is False; they sum to one."""
        y = torch.sigmoid(self.first(_below_maximum(x, mask)))
        scores = torch.sigmoid(self.second(_below_maximum(y, mask))).mT  # (b, 1, n)
        return masked_softmax(scores.masked_fill(~mask[:, None], -torch.inf))

    def forward(self, x: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b 1 n"]:
        return self.map(self.weights(x, mask))


class UniformAttention(nn.Module):
    """The same weight for each member of a set: mean pooling, the control of `SetAttention`."""

    def __init__(self) -> None:
        super().__init__()
        self.map = Tap("alignment")

    def forward(self, x: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b 1 n"]:
        return self.map((mask / mask.sum(1, keepdim=True)).to(x.dtype)[:, None])


class DiscriminativeNetwork(nn.Module):
    """From the features of a set of patches to a vector and to predictions: the discriminative part.

    ``f_j = ELU(W_1 (alpha_j h_j) + b_1)``, ``vector = sum_j f_j``, ``prediction = W_2 [confounders, vector] + b_2``.

    Args:
        channels: Features of a patch, and length of the vector.
        out_channels: Numbers to be predicted.
        hidden: Of `SetAttention`.
        confounders: Length of the vector of known facts (age, sex, ...) put before the subject's vector.
        dropout: Probability, of the f_j.
        scale_by_count: Whether weights are multiplied by the number of patches. A softmax makes means; what grows with
            the number of patches (a count, a volume) needs this.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        hidden: int = 64,
        confounders: int = 0,
        dropout: float = 0.0,
        scale_by_count: bool = False,
    ) -> None:
        super().__init__()
        self.confounders, self.scale_by_count = confounders, scale_by_count
        self.attention: nn.Module = SetAttention(channels, hidden=hidden)
        embed = nn.Linear(channels, channels)
        nn.init.zeros_(embed.bias)  # it counts once for each patch: else their number would drown what they show
        self.embed: nn.Module = embed
        self.activation = nn.ELU()
        self.dropout = nn.Dropout(dropout)
        self.predict: nn.Module = nn.Linear(confounders + channels, out_channels)

    def describe(
        self, x: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b n c"], Float[Tensor, "b n"]]:
        """The vector of each subject, what each patch adds to it, and the weight of each patch."""
        weights = self.attention(x, mask)[:, 0]
        strength = weights * mask.sum(1, keepdim=True) if self.scale_by_count else weights
        each = self.dropout(self.activation(self.embed(strength[..., None] * x))) * mask[..., None]
        return each.sum(1), each, weights

    def conclude(
        self, vector: Float[Tensor, "b c"], confounders: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b outputs"]:
        """Predictions from the vectors.

        Raises:
            InputError: If confounders are missing, not wanted, or of another number.
        """
        got = 0 if confounders is None else confounders.shape[1]
        if got != self.confounders:
            raise InputError(f"Subject2Vec: a subject must have {self.confounders} confounders, got {got}.")
        return self.predict(vector if confounders is None else torch.cat([confounders, vector], 1))


class Subject2Vec(nn.Module):
    """Numbers or class scores of a subject from a set of patches (b, n, c, *space); ``mask`` tells which of them exist.

    An encoder makes features of each patch, the `DiscriminativeNetwork` a vector of each set, and a decoder (the
    generative part, in training) the patches again from their features, so that these stay informative and attention
    does not collapse. Weights of patches are recorded as ``discriminative.attention.map``.

    Args:
        in_channels: Channels of a patch.
        out_channels: Numbers to be predicted, or classes.
        spatial_dims: 1, 2 or 3.
        channels: Width of each level of the encoder, which halves the grid at its end: five levels bring the paper's
            patches of 32 to one position. The last is the number of features of a patch.
        hidden: Of `SetAttention`.
        confounders: See `DiscriminativeNetwork`.
        dropout: See `DiscriminativeNetwork`.
        scale_by_count: See `DiscriminativeNetwork`.

    Raises:
        InputError: For numbers below 1 or a wrong ``spatial_dims``; in forward for a subject without a patch, and for
            confounders that are missing or not wanted.

    Differs from the authors' code: batch norm keeps running statistics for evaluation, so that a subject's result does
    not depend on which patches come together; convolutions pad alike on both sides; padding gets no attention.

    >>> network = Subject2Vec(1, 2, channels=(4, 8, 16))
    >>> network(torch.randn(3, 5, 1, 8, 8, 8), torch.arange(5) < torch.tensor([[5], [2], [1]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 3,
        channels: Sequence[int] = (8, 16, 32, 64, 128),
        hidden: int = 64,
        confounders: int = 0,
        dropout: float = 0.0,
        scale_by_count: bool = False,
    ) -> None:
        super().__init__()
        check_spatial_dims("Subject2Vec", spatial_dims)
        refuse_below_one(
            "Subject2Vec", in_channels=in_channels, out_channels=out_channels, channels=channels, hidden=hidden
        )
        self.encoder = PatchEncoder(in_channels, channels, spatial_dims)
        self.discriminative = DiscriminativeNetwork(
            channels[-1],
            out_channels,
            hidden=hidden,
            confounders=confounders,
            dropout=dropout,
            scale_by_count=scale_by_count,
        )
        self.decoder = PatchDecoder(in_channels, channels, spatial_dims)

    def features(
        self, patches: Float[Tensor, "b n c *space"], mask: Bool[Tensor, "b n"] | None = None
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """Features of each patch, zero for those that do not exist, and the mask.

        Raises:
            InputError: For a subject without a patch.
        """
        mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device) if mask is None else mask
        if torch.compiler.is_exporting():  # a graph has no sizes that depend on values: padding is encoded, too
            return self.encoder(patches.flatten(0, 1)).unflatten(0, mask.shape) * mask[..., None], mask
        if not bool(mask.any(1).all()):
            raise InputError("Subject2Vec: every subject must have at least one patch, got one without.")
        found = self.encoder(patches[mask])  # padding takes no part in batch norm
        all_of_them = found.new_zeros(*mask.shape, found.shape[1])
        return all_of_them.masked_scatter(mask[..., None], found), mask

    def describe(
        self,
        patches: Float[Tensor, "b n c *space"],
        mask: Bool[Tensor, "b n"] | None = None,
        confounders: Float[Tensor, "b k"] | None = None,
    ) -> Subject:
        """All that the three networks say; what `saccade.losses.subject_loss` learns from."""
        features, mask = self.features(patches, mask)
        vector, _, weights = self.discriminative.describe(features, mask)
        return Subject(
            prediction=self.discriminative.conclude(vector, confounders),
            vector=vector,
            weights=weights,
            reconstruction=self.decoder(features[mask], patches.shape[3:]),
        )

    def forward(
        self,
        patches: Float[Tensor, "b n c *space"],
        mask: Bool[Tensor, "b n"] | None = None,
        confounders: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b outputs"]:
        features, mask = self.features(patches, mask)
        return self.discriminative.conclude(self.discriminative.describe(features, mask)[0], confounders)


def _below_maximum(x: Tensor, mask: Tensor) -> Tensor:
    return x - x.masked_fill(~mask[..., None], -torch.inf).amax(1, keepdim=True)
