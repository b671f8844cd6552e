"""A network is, after it was explained, what it was before: weights, modes, hooks, gradients, memory."""

import codecs
import copy
import gc
import locale
import shutil

import pytest
import torch
from planted import PlantedNetwork, planted
from torch import nn

from saccade import explain

METHODS = ["ablation_cam", "cam", "eigen_cam", "eigen_grad_cam", "grad_cam", "grad_cam_element_wise",
           "grad_cam_plus_plus", "guided_backpropagation", "guided_grad_cam", "hires_cam", "input_gradient",
           "layer_cam", "occlusion", "respond_cam", "score_cam", "x_grad_cam", "feature_maps"]  # fmt: skip


def normalised() -> nn.Module:
    """With batch norm and dropout, which show whether it ran in training mode, and parts in different modes."""
    network = PlantedNetwork(2, in_place=True)
    network.pool = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5), network.pool)
    network.train()
    network.relu.eval()
    network.conv.weight.requires_grad_(False)
    for number, parameter in enumerate(network.parameters()):
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, number)
    return network


def traces(network: nn.Module) -> dict:
    """Everything about a network that could have changed."""
    return {
        "state": {name: value.clone() for name, value in network.state_dict().items()},
        "modes": [module.training for module in network.modules()],
        "types": [type(module) for module in network.modules()],
        "hooks": [
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()
        ],
        "needed": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "identity": [id(parameter) for parameter in network.parameters()],
    }


def assert_same(one: dict, other: dict) -> None:
    for key in ("modes", "types", "hooks", "needed", "identity"):
        assert one[key] == other[key], key
    assert all(torch.equal(one["state"][name], other["state"][name]) for name in one["state"])
    for a, b in zip(one["gradients"], other["gradients"], strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_stays_behind(name) -> None:
    network, (x, _) = normalised(), planted(2)
    x.requires_grad_()
    before, given = traces(network), x.detach().clone()
    method = getattr(explain, name)
    maps = method(network, x, target=0)
    assert not maps.requires_grad
    assert_same(before, traces(network))
    assert torch.equal(x, given)
    assert x.grad is None
    torch.testing.assert_close(method(network, x, target=0), maps, rtol=0, atol=0)  # no dropout
    state = torch.random.get_rng_state()
    with torch.no_grad():
        torch.testing.assert_close(method(network, x, target=0), maps)
    with torch.inference_mode():
        torch.testing.assert_close(method(network, x * 1, target=0), maps)
    assert torch.equal(state, torch.random.get_rng_state())
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(method(network, x, target=0), maps)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_stays_behind_an_exception(name, monkeypatch) -> None:
    network, (x, _) = normalised(), planted(2)
    before = traces(network)
    calls = []

    class Broken(nn.Linear):
        """Works in the first pass that looks for a layer, and no more."""

        def forward(self, x):
            calls.append(1)
            if len(calls) > 1 or name in ("cam", "guided_backpropagation", "input_gradient", "occlusion"):
                raise RuntimeError("broken")
            return super().forward(x)

    network.fc.__class__ = Broken
    with pytest.raises(RuntimeError, match="broken"):
        getattr(explain, name)(network, x, target=0)
    network.fc.__class__ = nn.Linear
    assert_same(before, traces(network))
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_verdicts_leave_it_alone_too() -> None:
    network, (x, masks) = normalised(), planted(2)
    before, state = traces(network), torch.random.get_rng_state()
    explain.faithfulness.verify(network, x, target=0, method=explain.grad_cam, mask=masks[:, 0], controls=2, draws=2)
    assert_same(before, traces(network))
    assert torch.equal(state, torch.random.get_rng_state())


def test_compiled_and_parallel_networks() -> None:
    network, (x, _) = PlantedNetwork(2, in_place=True), planted(2)
    want = {name: getattr(explain, name)(network, x, target=1) for name in METHODS}
    whole = torch.compile(copy.deepcopy(network), backend="eager")
    part = copy.deepcopy(network)
    part.relu = torch.compile(part.relu, backend="eager")
    inside = copy.deepcopy(network)
    inside.compile(backend="eager")
    for other in (whole, part, inside, nn.DataParallel(network)):
        other(x)
        for name, maps in want.items():
            torch.testing.assert_close(getattr(explain, name)(other, x, target=1), maps, msg=name)
    torch.testing.assert_close(
        explain.grad_cam(whole, x, target=1, layer="relu"), explain.grad_cam(part, x, target=1, layer="relu")
    )
    assert "relu" in explain.layer_names(part)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler for torch.compile's own code")
@pytest.mark.skipif(
    codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8",
    reason="torch.compile reads its own files in the locale's encoding, which is not UTF-8 here",
)
def test_a_network_that_was_compiled_to_machine_code() -> None:
    """Explained as it is written, and as fast afterwards: what was compiled is still there."""
    network, (x, _) = PlantedNetwork(2, in_place=True).eval(), planted(2)
    compiled = torch.compile(copy.deepcopy(network))
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x))
        for name in ("respond_cam", "guided_grad_cam", "ablation_cam"):
            want = getattr(explain, name)(network, x, target=1)
            torch.testing.assert_close(getattr(explain, name)(compiled, x, target=1), want, msg=name)
        with torch.compiler.set_stance("fail_on_recompile"):
            torch.testing.assert_close(compiled(x), network(x))


def test_two_hundred_calls_hold_no_more_than_twenty() -> None:
    network, (x, _) = PlantedNetwork(1), planted(1, 1)

    def tensors(calls: int) -> int:
        for call in range(calls):
            method = explain.ablation_cam if call % 2 else explain.guided_grad_cam
            method(network, x, target=0, layer="relu")
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    assert tensors(20) == tensors(180)


def test_a_layer_that_runs_twice_counts_the_last_time() -> None:
    class Twice(PlantedNetwork):
        def forward(self, x):
            return super().forward(self.relu(x))

    network, (x, _) = Twice(2), planted(2)
    first = PlantedNetwork(2)
    for name in ("grad_cam", "ablation_cam", "score_cam"):
        found = getattr(explain, name)(network, x, target=0, layer="relu")
        want = getattr(explain, name)(first, x.relu(), target=0, layer="relu")
        if name != "score_cam":  # which masks what comes in
            torch.testing.assert_close(found, want)
        assert found.shape == want.shape
