"""Visual attention of a decoder: at every word it looks at places of an image, softly or at one of them alone.

Xu et al., 2015, https://arxiv.org/abs/1502.03044, section 3 and 4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name

MODES = ("soft", "hard")
GATES = ("scalar", "vector")


class Glance(NamedTuple):
    """What one look gives.

    ``context`` z after the gate and ``ungated`` before it (b, c); ``weights`` as they were applied (b, n), for a hard
    look one 1 among zeros; ``beta`` (b, 1) or (b, c), None without a gate; ``log_probability`` of the place that was
    drawn and ``entropy`` of the places' distribution (b,), both 0 where nothing was drawn.
    """

    context: Tensor
    ungated: Tensor
    weights: Tensor
    beta: Tensor | None
    log_probability: Tensor
    entropy: Tensor


class VisualAttention(nn.Module):
    """``alpha = softmax(f_att(a, h))``, ``z = beta * sum_i alpha_i a_i``, or ``beta * a_s`` with s drawn from alpha.

    ``f_att(a, h) = w^T tanh(W a + U h + b) + c`` (eq. 4 to 6), ``beta = sigmoid(v^T h + d)`` (section 4.2.1).

    Args:
        channels: Channels of the annotations a, the paper's D.
        state_channels: Channels of the decoder's state h, the paper's n.
        hidden_channels: Width of f_att. Default: ``channels``, as in the authors' code.
        mode: ``soft``, or ``hard``: in training one place for each item is drawn from alpha, in eval mode it is the
            likeliest one. The place drawn has no gradient; `score_function_loss` makes one from ``attend``'s glance.
        soft_share: Hard, in training: probability that an item takes the soft context instead, which calms the
            gradient. Default 0.5, as in the paper; the authors' code draws this once for a whole batch.
        gate: ``scalar`` (default, the paper's beta), ``vector`` (one for each channel, as in a-PyTorch-Tutorial-to-
            Image-Captioning), or None.
        activation: In f_att. Default tanh, as in the authors' code; the PyTorch tutorial has ReLU.
        state_bias: Whether U h carries a bias of its own. Default False, as in the authors' code.

    Raises:
        InputError: For an unknown mode or gate, or a ``soft_share`` outside [0, 1].

    >>> VisualAttention(8, 6)(torch.randn(2, 49, 8), torch.randn(2, 6)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        channels: int,
        state_channels: int,
        *,
        hidden_channels: int | None = None,
        mode: str = "soft",
        soft_share: int | float = 0.5,
        gate: str | None = "scalar",
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        state_bias: bool = False,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise unknown_name("VisualAttention", "mode", mode, list(MODES))
        if gate is not None and gate not in GATES:
            raise unknown_name("VisualAttention", "gate", gate, list(GATES))
        if not 0 <= soft_share <= 1:
            raise InputError(f"VisualAttention: soft_share must be between 0 and 1, got {soft_share}.")
        hidden = channels if hidden_channels is None else hidden_channels
        self.mode, self.soft_share, self.activation = mode, soft_share, activation
        self.from_features: nn.Module = nn.Linear(channels, hidden)
        self.from_state: nn.Module = nn.Linear(state_channels, hidden, bias=state_bias)
        self.score: nn.Module = nn.Linear(hidden, 1)
        self.gate: nn.Module | None = None
        if gate is not None:
            self.gate = nn.Linear(state_channels, 1 if gate == "scalar" else channels)
        self.map = Tap("alignment")

    def energies(self, features: Float[Tensor, "b n c"], state: Float[Tensor, "b s"]) -> Float[Tensor, "b n"]:
        """f_att: the score of every place."""
        joined = self.from_features(features) + self.from_state(state)[:, None]
        return self.score(self.activation(joined)).squeeze(-1)

    def weights(self, features: Float[Tensor, "b n c"], state: Float[Tensor, "b s"]) -> Float[Tensor, "b n"]:
        """alpha: one weight for every place; they sum to one."""
        return torch.softmax(self.energies(features, state), -1)

    def forward(
        self,
        features: Float[Tensor, "b n c"],
        state: Float[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
        grid: Sequence[int] | None = None,
    ) -> Float[Tensor, "b c"]:
        """The gated context z; see `attend`."""
        return self.attend(features, state, generator=generator, grid=grid).context

    def attend(
        self,
        features: Float[Tensor, "b n c"],
        state: Float[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
        grid: Sequence[int] | None = None,
    ) -> Glance:
        """One look.

        Args:
            features: Annotations, one for each place.
            state: The decoder's state before this word.
            generator: Of the draws; PyTorch's own when left out.
            grid: Spatial size on which the places lie, for those who listen. The map is (b, 1, n).
        """
        energies = self.energies(features, state)
        alpha = torch.softmax(energies, -1)
        nothing = alpha.new_zeros(len(alpha))
        drawn, log_probability, entropy = alpha, nothing, nothing
        if self.mode == "hard":
            if self.training:
                drawn, log_probability, entropy = self._draw(energies, alpha, generator)
            else:
                drawn = F.one_hot(alpha.argmax(-1), alpha.shape[-1]).to(alpha.dtype)
        used = self.map(drawn[:, None], grid=grid)
        ungated = (used @ features)[:, 0]
        beta = None if self.gate is None else torch.sigmoid(self.gate(state))
        context = ungated if beta is None else beta * ungated
        return Glance(context, ungated, used[:, 0], beta, log_probability, entropy)

    def _draw(
        self, energies: Tensor, alpha: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        place = torch.multinomial(alpha.detach(), 1, generator=generator)
        hard = torch.rand(len(alpha), generator=generator, device=alpha.device) >= self.soft_share
        logs = torch.log_softmax(energies, -1)
        one = torch.zeros_like(alpha).scatter(1, place, 1.0)
        drawn = torch.where(hard[:, None], one, alpha)
        return drawn, logs.gather(1, place)[:, 0] * hard, -(alpha * logs).sum(-1) * hard
