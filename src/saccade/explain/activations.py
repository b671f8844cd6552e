"""What a gate does to features: the activations before it, its coefficients, and the activations after it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.gate import AttentionGate, MultiAttentionGate
from saccade.attention.same_grid_gate import SameGridGate
from saccade.attention.tap import record
from saccade.errors import InputError

Gate = AttentionGate | MultiAttentionGate | SameGridGate
Keep = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class GateActivations:
    """What passed one gate, or several gates on the same features.

    Attributes:
        before: The features that were gated.
        coefficients: One channel per gate, in (0, 1) for sigmoid gates.
        after: What the gate gave: the products, behind its output transform; several gates mix them into one map, so
            that channel n after is not channel n before.
    """

    before: Float[Tensor, "b c *space"]
    coefficients: Float[Tensor, "b gates *space"]
    after: Float[Tensor, "b c *space"]

    @property
    def gated(self) -> Float[Tensor, "b gates c *space"]:
        """The products ``alpha * x`` of each gate, before any output transform: channel n is still channel n."""
        return self.coefficients.unsqueeze(2) * self.before.unsqueeze(1)


def gates_of(network: nn.Module) -> dict[str, Gate]:
    """A network's gates by module name; several gates on the same features (`MultiAttentionGate`) are one entry.

    Names are those of ``network.named_modules()`` without a compiler's prefix; a gate by itself is called ``gate``.
    """
    found: dict[str, Gate] = {}
    for name, module in getattr(network, "_orig_mod", network).named_modules():
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        if isinstance(module, Gate) and not inside:
            found[name] = module
    return {_plain(name) or "gate": gate for name, gate in found.items()}


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def gate_activations(network: nn.Module, *inputs: Tensor, keep: Keep | None = None) -> dict[str, GateActivations]:
    """Features before and after each gate of a network, and the gate's coefficients, in one forward pass.

    As the figure of Oktay et al., 2018, https://arxiv.org/abs/1804.03999, that shows a skip connection's activations
    before and after gating. The pass is made in evaluation mode and without gradients; afterwards the network is as it
    was, bit for bit, also when it raises. A compiled network runs the module that was compiled.

    Args:
        network: Any module with an `AttentionGate`, a `MultiAttentionGate` or a `SameGridGate` in it.
        inputs: What the network takes.
        keep: Applied at once to every tensor (b, c, *space) that is seen, for example to cut one plane out of the
            space; what it gives is copied, the rest is let go. Default: everything is kept.

    Returns:
        By the gate's name (see `gates_of`), what passed it; of a gate that is called several times the last call, a
        gate that is not called has no entry.

    Raises:
        InputError: If the network has no gate.

    >>> from saccade.networks import AttentionUNet
    >>> network = AttentionUNet(1, 4, channels=(4, 8, 16))
    >>> seen = gate_activations(network, torch.randn(1, 1, 12, 8, 8))["gates.0"]
    >>> seen.before.shape, seen.coefficients.shape, seen.gated.shape
    (torch.Size([1, 8, 6, 4, 4]), torch.Size([1, 2, 6, 4, 4]), torch.Size([1, 2, 8, 6, 4, 4]))
    """
    gates = gates_of(network)
    if not gates:
        raise InputError(
            f"gate_activations: the network must have an attention gate, got {type(network).__name__} without one."
        )
    listeners = {name: _Listener(gate, keep) for name, gate in gates.items()}
    with ExitStack() as stack:
        for module in network.modules():
            stack.callback(setattr, module, "training", module.training)
        stack.enter_context(torch.no_grad())
        stack.enter_context(record(network))  # what has been compiled runs as written meanwhile, and can be heard
        for listener in listeners.values():
            listener.attach(stack)
        network.eval()(*inputs)
    return {name: listener.activations() for name, listener in listeners.items() if listener.after is not None}


@dataclass
class _Listener:
    """Hears one gate through its parts, since a network may call `attend` of a gate in place of the gate itself."""

    gate: Gate
    keep: Keep | None
    before: Tensor | None = None
    coefficients: dict[int, Tensor] = field(default_factory=dict)
    after: Tensor | None = None
    _features: Tensor | None = None  # given to the gate that is at work; let go when its coefficients are known

    def attach(self, stack: ExitStack) -> None:
        """Listen until the stack is closed."""
        parts: list[Any] = list(self.gate.gates) if isinstance(self.gate, MultiAttentionGate) else [self.gate]
        for number, part in enumerate(parts):
            entrance = part.from_features if isinstance(part, SameGridGate) else part.theta
            stack.callback(entrance.register_forward_pre_hook(self._enters).remove)
            stack.callback(part.map.register_forward_hook(self._is_weighed_by(number)).remove)
        gate: Any = self.gate
        exits = {MultiAttentionGate: "combine", AttentionGate: "transform"}
        names = [name for kind, name in exits.items() if isinstance(gate, kind)]
        stack.callback((getattr(gate, names[0]) if names else gate).register_forward_hook(self._leaves).remove)

    def activations(self) -> GateActivations:
        """What was heard last."""
        assert self.before is not None
        assert self.after is not None
        coefficients = torch.cat([self.coefficients[number] for number in sorted(self.coefficients)], 1)
        return GateActivations(self.before, coefficients, self.after)

    def _kept(self, tensor: Tensor) -> Tensor:
        """A copy, since what follows in the network may work in place."""
        return (tensor if self.keep is None else self.keep(tensor)).detach().clone()

    def _enters(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._features = args[0]

    def _is_weighed_by(self, number: int) -> Callable[..., None]:
        def listen(tap: nn.Module, args: tuple[Tensor, ...], alpha: Tensor) -> None:
            assert self._features is not None
            if number == 0:
                # a gate lengthens axes that are shorter than its step; the coefficients lie on the true grid
                true = (slice(None), slice(None), *(slice(size) for size in alpha.shape[2:]))
                self.before = self._kept(self._features[true])
            self.coefficients[number] = self._kept(alpha)
            self._features = None

        return listen

    def _leaves(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        self.after = self._kept(output)
