"""Features before and after a gate: what the gate was given, what it made of it, and a network left as it was."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from saccade.attention import AttentionGate, MultiAttentionGate, SameGridGate
from saccade.errors import InputError
from saccade.explain import gate_activations, gates_of
from saccade.networks import AttentionUNet, UNet
from saccade.networks.strided_attention_unet import StridedAttentionUNet
from saccade.reference.adapters import GateWithMap


def filled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters and statistics, so that no normalisation is the identity."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return network


def attention_unet(gates: str = "shared", dims: int = 2) -> AttentionUNet:
    torch.manual_seed(0)
    return AttentionUNet(1, 3, channels=(2, 3, 5, 7), spatial_dims=dims, gates=gates)


def image(*space: int) -> torch.Tensor:
    return torch.randn(2, 1, *space, generator=torch.Generator().manual_seed(1))


def test_one_gate_by_hand():
    gate = AttentionGate(1, 1, inner_channels=1, spatial_dims=1, subsample=1, transform=lambda _: nn.Identity())
    for parameter, value in ((gate.theta.weight, 1), (gate.phi.weight, 0), (gate.psi.weight, 1)):
        nn.init.constant_(parameter, value)
    for bias in (gate.phi.bias, gate.psi.bias):
        nn.init.zeros_(bias)
    x = torch.tensor([[[-1.0, 0.0, math.log(3)]]])
    seen = gate_activations(gate, x, torch.zeros(1, 1, 2))["gate"]
    # q = relu(x) = 0, 0, log 3; alpha = 1 / (1 + exp(-q)) = 1/2, 1/2, 1 / (1 + 1/3) = 3/4
    torch.testing.assert_close(seen.coefficients, torch.tensor([[[0.5, 0.5, 0.75]]]))
    torch.testing.assert_close(seen.after, torch.tensor([[[-0.5, 0.0, 0.75 * math.log(3)]]]))
    assert torch.equal(seen.before, x)
    assert torch.equal(seen.gated[:, 0], seen.after)


@pytest.mark.parametrize("form", ["shared", "multi", "single", "grid"])
def test_what_is_seen_is_what_the_network_uses(form):
    network, x = filled(attention_unet(form)).eval(), image(24, 40)
    seen = gate_activations(network, x)
    assert list(seen) == ["gates.0", "gates.1"]
    skips, _ = network.encode(x)
    for level, (name, found) in enumerate(seen.items(), start=1):
        assert torch.equal(found.before, skips[level])
        gate = network.gates[level - 1]
        if form == "grid":
            again = gate.transform(found.gated[:, 0])
        else:
            parts = [part.transform(found.gated[:, n]) for n, part in enumerate(gate.gates)]
            again = gate.combine(torch.cat(parts, 1))
        torch.testing.assert_close(found.after, again)
        assert found.coefficients.shape[1] == (2 if form in ("shared", "multi") else 1), name
        assert not torch.equal(found.after, found.before)


def test_the_gates_of_another_network():
    network = filled(StridedAttentionUNet(1, 3, spatial_dims=2, channels=(2, 3, 5), strides=(2, 2))).eval()
    seen = gate_activations(network, image(12, 20))
    assert list(seen) == ["decoder.0.gate", "decoder.1.gate"]
    assert seen["decoder.0.gate"].before.shape == (2, 2, 12, 20)
    for found in seen.values():
        assert torch.equal(found.after, found.gated[:, 0])


def test_a_gate_is_seen_however_it_is_called():
    for gate in (
        AttentionGate(2, 3, spatial_dims=2),
        MultiAttentionGate([AttentionGate(2, 3, spatial_dims=2)] * 1, spatial_dims=2),
    ):
        filled(gate)
        x, g = torch.rand(1, 2, 10, 6), torch.rand(1, 3, 5, 3)
        (name, through), *others = gate_activations(GateWithMap(gate), x, g).items()
        assert (name, others) == ("gate", [])
        direct = gate_activations(gate, x, g)["gate"]
        for part in ("before", "coefficients", "after"):
            assert torch.equal(getattr(through, part), getattr(direct, part))
        assert torch.equal(direct.before, x)


def test_an_axis_shorter_than_the_step_is_as_long_as_it_was():
    gate = filled(AttentionGate(2, 3, spatial_dims=2))
    x = torch.rand(1, 2, 7, 1)
    seen = gate_activations(gate, x, torch.rand(1, 3, 2, 2))["gate"]
    assert torch.equal(seen.before, x)
    assert seen.after.shape == x.shape


def test_keep_cuts_before_anything_is_held():
    network, x = filled(attention_unet(dims=3)), image(16, 24, 8)
    whole = gate_activations(network, x)
    held = []

    def middle(tensor):
        held.append(tensor.shape)
        return tensor[..., tensor.shape[-1] // 2]

    cut = gate_activations(network, x, keep=middle)
    assert len(held) == 2 * 4  # two levels: before, two gates, after
    for name, found in cut.items():
        for part in ("before", "coefficients", "after", "gated"):
            assert torch.equal(getattr(found, part), middle(getattr(whole[name], part)))
        assert found.before.untyped_storage().nbytes() == found.before.numel() * 4  # a copy, not a view of all


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails):
    network = attention_unet()
    network.train()
    network.gates[0].eval()
    network.head.register_forward_hook(lambda *_: 1 / 0 if fails else None)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in network.modules()]
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(ZeroDivisionError):
            gate_activations(network, image(24, 40))
    else:
        gate_activations(network, image(24, 40))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_it_sees_evaluation_whatever_the_mode_and_takes_no_gradients():
    network, x = filled(attention_unet()), image(24, 40)
    training = gate_activations(network.train(), x)["gates.0"]
    evaluation = gate_activations(network.eval(), x)["gates.0"]
    assert torch.equal(training.after, evaluation.after)
    assert not training.after.requires_grad


class Twice(nn.Module):
    """A gate that is called twice, its output then changed in place; and one that is never called."""

    def __init__(self):
        super().__init__()
        self.gate, self.idle = SameGridGate(2, 2, spatial_dims=1), SameGridGate(2, 2, spatial_dims=1)

    def forward(self, x):
        self.gate(x, x)
        return self.gate(2 * x, x).mul_(0)


def test_the_last_call_counts_and_work_in_place_does_no_harm():
    network, x = filled(Twice()).eval(), torch.rand(1, 2, 5)
    seen = gate_activations(network, x)
    assert list(seen) == ["gate"]
    assert torch.equal(seen["gate"].before, 2 * x)
    assert seen["gate"].after.abs().max() > 0


def test_a_compiled_network_is_heard():
    network, x = filled(attention_unet()).eval(), image(24, 40)
    compiled = torch.compile(network, backend="eager")  # were it traced, the tests' checks of shapes would break it
    seen, expected = gate_activations(compiled, x), gate_activations(network, x)
    assert list(seen) == list(gates_of(compiled)) == ["gates.0", "gates.1"]
    assert torch.equal(seen["gates.1"].after, expected["gates.1"].after)
    inside = nn.ModuleDict({"first": torch.compile(network.gates[0], backend="eager")})
    assert list(gates_of(inside)) == ["first"]


def test_a_network_without_a_gate():
    assert gates_of(UNet(1, 2, channels=(2, 3))) == {}
    with pytest.raises(InputError) as caught:
        gate_activations(UNet(1, 2, channels=(2, 3)), image(8, 8, 8))
    assert str(caught.value) == "gate_activations: the network must have an attention gate, got UNet without one."


@pytest.mark.process
def test_pictures_are_drawn_without_torch():
    code = "import sys, saccade.explain.render; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
