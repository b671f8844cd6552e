"""RAM: a recurrent network that classifies an image from a few glimpses, and decides itself where to look next.

Mnih et al., 2014, https://arxiv.org/abs/1406.6247.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.glimpse import GlimpseSensor
from saccade.attention.glimpse_policy import Chance, LocationPolicy, draw
from saccade.errors import InputError
from saccade.networks.checks import refuse_below_one


@dataclass(frozen=True)
class Looks:
    """What one pass over a batch saw and did, with T glimpses; what `saccade.losses.hybrid_loss` learns from.

    ``scores`` (b, classes) come from the last state. ``locations`` (b, T, d) are where it looked; ``log_probabilities``
    and ``baselines`` (b, T - 1) are those of the decisions: the draw of each location but the first, and the reward
    that was expected before it.
    """

    scores: Tensor
    locations: Tensor
    log_probabilities: Tensor
    baselines: Tensor


class GlimpseNetwork(nn.Module):
    """What is seen and where, each through two layers, added: ``relu(W_1 relu(W_0 patches) + W_3 relu(W_2 l))``.

    Args:
        sensor: From image and location to patches.
        patch_channels: Numbers of all patches of an image.
        what: Units for what is seen, the paper's 128.
        where: Units for where; the output has ``what + where``.
        spatial_dims: Numbers of a location.
    """

    def __init__(
        self, sensor: nn.Module, patch_channels: int, *, what: int = 128, where: int = 128, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        self.sensor = sensor
        self.what = nn.Sequential(nn.Linear(patch_channels, what), nn.ReLU(), nn.Linear(what, what + where))
        self.where = nn.Sequential(nn.Linear(spatial_dims, where), nn.ReLU(), nn.Linear(where, what + where))

    def forward(self, x: Float[Tensor, "b c *space"], location: Float[Tensor, "b d"]) -> Float[Tensor, "b g"]:
        return torch.relu(self.what(self.sensor(x, location).flatten(1)) + self.where(location))


class CoreNetwork(nn.Module):
    """``h_t = relu(W g_t + U h_{t-1} + b)``.

    Args:
        channels: Of a glimpse.
        state_channels: Of the state h.
    """

    def __init__(self, channels: int, state_channels: int) -> None:
        super().__init__()
        self.from_glimpse = nn.Linear(channels, state_channels)
        self.from_state = nn.Linear(state_channels, state_channels)

    def forward(self, glimpse: Float[Tensor, "b g"], state: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
        return torch.relu(self.from_glimpse(glimpse) + self.from_state(state))


class RecurrentAttentionModel(nn.Module):
    """One score per class from the last of T states, each made of the one before and of one more glimpse.

    ``g_t = f_g(patches at l_t, l_t)``, ``h_t = f_h(h_{t-1}, g_t)``, ``l_{t+1} ~ N(f_l(h_t), std^2)``, scores
    ``f_a(h_T)``. While training, locations are drawn, the first one anywhere; `look` gives what REINFORCE needs. In
    evaluation the network looks at the middle first and then where the policy aims, the same way every time, or, with
    ``samples``, so often at random, and gives the mean of the class probabilities. Where it looks is recorded as
    ``glimpse.sensor.map``, a call for each glimpse.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes.
        spatial_dims: 1, 2 or 3.
        size: Pixels of a glimpse along each axis; see `GlimpseSensor`.
        scales: Number of patches of a glimpse, each twice as wide as the one before.
        glimpses: The number T.
        hidden: Units of the state, half of them each for what and for where a glimpse is before they are put together.
        std: Standard deviation of the locations, in half image widths.

    Raises:
        InputError: For numbers below 1, an odd ``hidden``, a wrong ``spatial_dims`` or a ``std`` that is not above 0.

    Differs from the paper: none; it does not tell ``std``, nor how to evaluate.

    >>> network = RecurrentAttentionModel(1, 10, glimpses=3, hidden=8)
    >>> network(torch.randn(2, 1, 28, 28)).shape, network.look(torch.randn(2, 1, 28, 28)).locations.shape
    (torch.Size([2, 10]), torch.Size([2, 3, 2]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        size: int | Sequence[int] = 8,
        scales: int = 1,
        glimpses: int = 6,
        hidden: int = 256,
        std: float = 0.1,
    ) -> None:
        super().__init__()
        refuse_below_one(
            "RecurrentAttentionModel",
            in_channels=in_channels,
            out_channels=out_channels,
            glimpses=glimpses,
            hidden=hidden,
        )
        if hidden % 2:
            raise InputError(f"RecurrentAttentionModel: hidden must be even, got {hidden}.")
        sensor = GlimpseSensor(size, scales=scales, spatial_dims=spatial_dims)
        half = hidden // 2
        seen = in_channels * scales * prod(sensor.size)
        self.spatial_dims, self.glimpses = spatial_dims, glimpses
        self.glimpse = GlimpseNetwork(sensor, seen, what=half, where=half, spatial_dims=spatial_dims)
        self.core = CoreNetwork(hidden, hidden)
        self.policy = LocationPolicy(hidden, spatial_dims=spatial_dims, std=std)
        self.baseline = nn.Linear(hidden, 1)
        self.classify = nn.Linear(hidden, out_channels)

    def look(self, x: Float[Tensor, "b c *space"], *, generator: Chance = None) -> Looks:
        """A pass with locations drawn at random, the first one evenly from the whole image.

        Args:
            x: Images.
            generator: Of all draws, or one for each image; PyTorch's own when left out.
        """
        first = 2 * draw(torch.rand, x, self.spatial_dims, generator) - 1
        return self._pass(x, first, generator, drawn=True)

    def forward(
        self, x: Float[Tensor, "b c *space"], *, samples: int = 0, generator: Chance = None
    ) -> Float[Tensor, "b classes"]:
        """Logarithms of the class probabilities.

        Args:
            x: Images.
            samples: Passes over which probabilities are averaged, the paper's M; 0 (default) for one pass without
                chance. While training there is one pass with chance, whatever is asked for.
            generator: Of all draws, or one for each image; PyTorch's own when left out.

        Raises:
            InputError: If ``samples`` is below 0.
        """
        if samples < 0:
            raise InputError(f"RecurrentAttentionModel: samples must be at least 0, got {samples}.")
        if not self.training and samples == 0:
            middle = x.new_zeros(len(x), self.spatial_dims)
            return self._pass(x, middle, generator, drawn=False).scores.log_softmax(1)
        passes = 1 if self.training else samples
        found = [self.look(x, generator=generator).scores.log_softmax(1) for _ in range(passes)]
        return torch.stack(found).logsumexp(0) - log(passes)

    def _pass(self, x: Tensor, location: Tensor, generator: Chance, *, drawn: bool) -> Looks:
        state = x.new_zeros(len(x), self.core.from_state.in_features)
        locations, logs, baselines = [location], [], []
        for step in range(self.glimpses):
            state = self.core(self.glimpse(x, location), state)
            if step == self.glimpses - 1:
                break
            if drawn:
                location, log_probability = self.policy(state, generator=generator)
            else:
                location = self.policy.mean(state).clamp(-1, 1)
                log_probability = x.new_zeros(len(x))
            locations.append(location)
            logs.append(log_probability)
            baselines.append(self.baseline(state.detach())[:, 0])  # it teaches the state nothing
        none = x.new_zeros(len(x), 0)
        return Looks(
            scores=self.classify(state),
            locations=torch.stack(locations, 1),
            log_probabilities=torch.stack(logs, 1) if logs else none,
            baselines=torch.stack(baselines, 1) if baselines else none,
        )
