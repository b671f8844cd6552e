"""Published calling conventions around our modules: order of inputs, further outputs, losses as modules."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.same_grid_gate import SameGridGate
from saccade.networks.unet import DecoderLevel


class GateWithMap(nn.Module):
    """A gate that returns its coefficients too."""

    def __init__(self, gate: AttentionGate | MultiAttentionGate) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        return self.gate.attend(x, g)


class SignalFirst(nn.Module):
    """A gate that takes the gating signal before the features."""

    def __init__(self, gate: SameGridGate) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, g: Tensor, x: Tensor) -> Tensor:
        return self.gate(x, g)


class PaddedSkip(nn.Module):
    """A decoder level that fits the skip to the up-sampled map rather than the other way round.

    The published padding is right for equal sizes, and for even differences of images; it takes the difference along
    the first axis for all axes.
    """

    def __init__(self, level: DecoderLevel, factor: int) -> None:
        super().__init__()
        self.level, self.factor = level, factor

    def forward(self, skip: Tensor, low: Tensor) -> Tensor:
        margin = (low.shape[2] * self.factor - skip.shape[2]) // 2
        each = [margin, margin] if skip.ndim == 4 else [margin, margin, 0]
        return self.level(F.pad(skip, 2 * each) if margin else skip, low)


class Loss(nn.Module):
    """A loss function called as a module; labels may keep an axis of length one for the channel."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, scores: Tensor, target: Tensor, *options: Any) -> Tensor:
        return self.function(scores, target.reshape(len(scores), *scores.shape[2:]), *options)
