"""A module with attention behind it is still that module: for copies, pickles, exports, indices and gates."""

import copy
import io
import pickle
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from attach_networks import Block, Skip, alike, hook, layers, same_state

import saccade
from saccade.attention import AttentionGate
from saccade.attention.attach import list_attachments
from saccade.errors import InputError


def attached_layers():
    ours, plain = alike(layers)
    return saccade.attach(ours, "cbam", at=["layer1", "layer2.0.conv"], reduction=2, say=None), plain


def gated():
    ours, plain = alike(Skip)
    saccade.attach(ours, "gate", at="skip", gate_from="bottom", subsample=2, say=None)
    return ours, plain


X = torch.randn(2, 1, 12, 10, generator=torch.Generator().manual_seed(2))


def pickled(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("make", [attached_layers, gated])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled, lambda m: pickle.loads(pickle.dumps(m, 2))])
def test_copies_and_pickles_are_attached_and_apart_from_the_original(make, duplicate):
    ours, plain = make()
    twin = duplicate(ours)
    y = ours(X)
    assert torch.equal(twin(X), y)
    assert same_state(twin.state_dict(), ours.state_dict())
    assert [type(m) for m in twin.modules()] == [type(m) for m in ours.modules()]
    assert not {id(m) for m in twin.modules()} & {id(m) for m in ours.modules()}
    saccade.detach(twin)
    assert torch.equal(twin(X), plain(X))
    assert torch.equal(ours(X), y)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
    saccade.attach(twin, "se", at="down" if make is gated else "stem", reduction=2, say=None)
    assert len(list_attachments(twin)) == 1


@pytest.mark.parametrize("make", [attached_layers, gated])
def test_it_can_be_exported_with_the_names_of_its_weights(make):
    ours, _ = make()
    program = torch.export.export(ours, (X,))
    assert set(program.state_dict) == set(ours.state_dict())
    torch.testing.assert_close(program.module()(X), ours(X))


@pytest.mark.parametrize("in_place", [False, True], ids=["torch.compile", "module.compile"])
def test_a_compiled_network_is_refused(in_place):
    ours, _ = attached_layers()
    compiled = ours if in_place else torch.compile(ours, backend="eager")
    if in_place:
        ours.compile(backend="eager")
    for who, act in (
        ("attach", lambda: saccade.attach(compiled, "se", at="stem")),
        ("detach", lambda: saccade.detach(compiled)),
    ):
        with pytest.raises(InputError) as error:
            act()
        assert str(error.value) == (
            f"{who}: the network must not be compiled yet, got a compiled one. Compile it afterwards."
        )
    assert len(list_attachments(ours)) == 2


def test_indices_attributes_and_types_are_those_of_before():
    ours, plain = attached_layers()
    assert isinstance(ours.layer1, nn.Sequential)
    assert isinstance(ours.layer2[0].conv, nn.Conv2d)
    assert len(ours.layer1) == 2
    assert ours.layer1[-1] is ours.layer1.get_submodule("1")
    assert list(ours.layer1) == [ours.layer1[0], ours.layer1[1]]
    part = ours.layer1[-1:]
    assert (type(part), list(part)) == (nn.Sequential, [ours.layer1[1]])
    with pytest.raises(IndexError):
        ours.layer1[2]
    assert torch.equal(ours.layer2[0].conv.weight, plain.layer2[0].conv.weight)
    assert ours.layer2[0].conv.kernel_size == (3, 3)


class Dense(nn.ModuleDict):
    """Goes through its own items."""

    def __init__(self):
        super().__init__({"a": nn.Conv2d(3, 2, 1), "b": nn.Conv2d(5, 2, 1)})

    def forward(self, x):
        for _, layer in self.items():
            x = torch.cat([x, layer(x)], 1)
        return x


class Children(Dense):
    """Goes through its children, of which attention is one."""

    def forward(self, x):
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


def test_a_dictionary_of_modules_that_goes_through_itself():
    ours, plain = alike(lambda: nn.Sequential(nn.Conv2d(1, 3, 1), Dense()))
    saccade.attach(ours, "se", at="1", reduction=2, say=None)
    assert (len(ours[1]), list(ours[1]), list(ours[1].keys())) == (2, ["a", "b"], ["a", "b"])
    assert list(ours[1].values()) == [ours[1]["a"], ours[1]["b"]]
    assert torch.equal(ours(X), hook(plain, "1", copy.deepcopy(ours[1].se))(X))


def test_a_module_that_would_take_attention_for_one_of_its_steps_is_refused():
    ours, plain = alike(lambda: nn.Sequential(nn.Conv2d(1, 3, 1), Children()))
    with pytest.raises(InputError, match=r"^attach: the network does not run with se \(RuntimeError: mat1"):
        saccade.attach(ours, "se", at="1", reduction=2)
    with pytest.raises(InputError) as error:
        saccade.attach(ours, lambda channels: nn.Identity(), at="1")
    assert str(error.value) == (
        "attach: '1' runs its parts in a way of its own: of its 1 outputs 2 went through <lambda>. "
        "Attach to a module inside it."
    )
    assert type(ours[1]) is Children
    assert same_state(ours.state_dict(), plain.state_dict())


def test_a_module_with_two_names_is_attached_once_and_everywhere():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.first = nn.Conv2d(1, 8, 1), Block()
            self.second, self.listed = self.first, [self.first]

        def forward(self, x):
            return self.listed[0](self.second(self.stem(x)))

    ours, plain = alike(Shared)
    saccade.attach(ours, "se", at=["second", "first"], reduction=2, say=None)
    assert [a.place for a in list_attachments(ours)] == ["second"]
    assert torch.equal(ours(X), hook(plain, "first", copy.deepcopy(ours.first.se))(X))


class Pair(NamedTuple):
    features: torch.Tensor
    kept: torch.Tensor


@pytest.mark.parametrize("wrap", [lambda a, b: (a, b), lambda a, b: [a, b], Pair], ids=["tuple", "list", "named"])
def test_of_several_outputs_the_first_goes_through(wrap):
    class Several(nn.Conv2d):
        def forward(self, x):
            return wrap(super().forward(x), x)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.several = Several(1, 4, 1)

        def forward(self, x):
            return self.several(x)

    ours, plain = alike(Network)
    saccade.attach(ours, "se", at="several", reduction=2, say=None)
    given, without = ours(X), plain(X)
    assert type(given) is type(without)
    assert torch.equal(given[0], ours.several.se(without[0]))
    assert given[1] is X


def test_a_gate_filters_a_module_with_the_output_of_another():
    ours, plain = gated()
    gate = ours.skip.gate
    assert isinstance(gate, AttentionGate)
    assert list_attachments(ours)[0].channels == 4
    signals = []
    plain.bottom.register_forward_hook(lambda module, args, output: signals.append(output))
    hook(plain, "skip", lambda x: copy.deepcopy(gate)(x, signals[-1]))
    assert torch.equal(ours(X), plain(X))
    with saccade.record(ours) as maps:
        ours(X)
    assert maps["skip.gate.map"].grid == (12, 10)
    ours.train()(X).sum().backward()
    assert all(p.grad is not None for p in gate.parameters())


def test_a_gate_never_takes_the_signal_of_a_pass_before():
    ours, _ = gated()
    late = (
        r"^attach: the gate behind 'skip' needs the output of 'bottom', which has not been computed in this forward "
        r"pass of the network\. Choose a gate_from that runs before, and call the whole network\.$"
    )
    ours(X)
    ours.bottom(torch.zeros(1, 4, 6, 6))
    with pytest.raises(InputError, match=late):
        ours.skip(torch.zeros(1, 4, 6, 6))
    ours.fails = True
    with pytest.raises(ZeroDivisionError):
        ours(X)
    with pytest.raises(InputError, match=late):
        ours.skip(torch.zeros(1, 4, 6, 6))


def test_a_signal_that_comes_too_late_is_refused_and_leaves_nothing_behind():
    ours, plain = alike(Skip)
    with pytest.raises(
        InputError, match=r"^attach: the gate behind 'skip' needs the output of 'up', which has not been"
    ):
        saccade.attach(ours, "same-grid-gate", at="skip", gate_from="up")
    assert type(ours.skip) is nn.Identity
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_always_called for m in ours.modules())
    assert torch.equal(ours(X), plain(X))
