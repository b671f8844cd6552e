"""Attention behind any module of networks that others wrote, and the network as it was."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from monai.networks.nets import DenseNet121, ResNet, UNet
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from attach_networks import Block, alike, hook, layers, same_state

import saccade
from saccade.attention.attach import list_attachments
from saccade.attention.attach_module import Attached


def resnet(dims, blocks=1):
    widths = [8, 16, 24, 32]
    return ResNet("basic", [blocks] * 4, widths, spatial_dims=dims, n_input_channels=1, num_classes=3)


def unet(dims):
    return UNet(dims, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)


# Network, size of the input, place, and the channels there: of a dense block and of a skip all that is concatenated.
NETWORKS = {
    "resnet-2d": (lambda: resnet(2), (23, 19), "layer3", 24),
    "resnet-3d": (lambda: resnet(3), (17, 13, 11), "layer2.0", 16),
    "unet-2d": (lambda: unet(2), (16, 24), "model.1.submodule.1", 8 + 16),
    "unet-3d": (lambda: unet(3), (8, 12, 16), "model.1", 4 + 4),
    "densenet-2d": (
        lambda: DenseNet121(2, in_channels=1, out_channels=2),
        (37, 33),
        "features.denseblock1",
        64 + 6 * 32,
    ),
    "layers-2d": (layers, (7, 5), "layer1", 8),
    "layers-3d": (lambda: layers(dims=3), (5, 7, 3), "layer2.1.conv", 8),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    build, size, place, channels = NETWORKS[request.param]
    ours, plain = alike(build)
    return ours, plain, torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1)), place, channels


def test_the_output_of_the_place_goes_through_the_mechanism_and_detach_restores_all(network):
    ours, plain, x, place, channels = network
    before, modules = copy.deepcopy(ours.state_dict()), list(ours.named_modules())
    unchanged = ours(x)
    assert saccade.attach(ours, "cbam", at=place, reduction=2, say=None) is ours
    (added,) = list_attachments(ours)
    dims = x.ndim - 2
    assert (added.place, added.channels, added.spatial_dims) == (place, channels, dims)
    mechanism = ours.get_submodule(f"{place}.cbam")
    # The MLP of two layers with biases, the kernel of 7 over two maps, scale and shift of one batch norm.
    hidden = channels // 2
    numbers = 2 * channels * hidden + hidden + channels + 2 * 7**dims + 2
    assert added.parameters == sum(p.numel() for p in mechanism.parameters()) == numbers

    with torch.no_grad():
        assert torch.equal(ours(x), hook(plain, place, copy.deepcopy(mechanism))(x))
    after = ours.state_dict()
    assert {name for name in after if name not in before} == {f"{place}.cbam.{n}" for n in mechanism.state_dict()}
    assert all(torch.equal(after[name], before[name]) for name in before)

    assert saccade.detach(ours) is ours
    assert same_state(ours.state_dict(), before)
    assert [(name, id(m), type(m)) for name, m in ours.named_modules()] == [(n, id(m), type(m)) for n, m in modules]
    assert torch.equal(ours(x), unchanged)
    assert not list_attachments(ours)


def test_weights_from_before_load_into_the_attached_network(network):
    ours, plain, _, place, _ = network
    nn.init.ones_(next(plain.parameters()))
    saccade.attach(ours, "se", at=place, reduction=2, say=None)
    missing, unexpected = ours.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {name.rsplit(".", 2)[0] for name in missing} == {f"{place}.se"}
    assert torch.equal(next(ours.parameters()), next(plain.parameters()))


@pytest.mark.parametrize("name", ["non-local", "self-attention"])
def test_what_is_the_identity_at_first_changes_nothing_until_it_is_trained(network, name):
    ours, plain, x, place, _ = network
    saccade.attach(ours, name, at=place, example=x, say=None)
    with torch.no_grad():
        assert torch.equal(ours(x), plain(x))
    attention = ours.get_submodule(f"{place}.{name.replace('-', '_')}")
    opened = attention.gamma if name == "self-attention" else attention.transform[1].weight
    ours(x).square().sum().backward()
    assert opened.grad.abs().max() > 0


def test_gradients_reach_every_attached_parameter_and_a_step_changes_the_output():
    ours, _ = alike(lambda: resnet(2))
    x = torch.randn(3, 1, 23, 19)
    before = ours(x)
    saccade.attach(ours, "cbam", at=["layer2", "layer4"], reduction=4, say=None)
    added = {name: p for name, p in ours.named_parameters() if ".cbam." in name}
    assert {name.split(".")[0] for name in added} == {"layer2", "layer4"}
    ours.train()
    assert ours.layer2.cbam.spatial.norm.training
    ours(x).square().sum().backward()
    assert [name for name, p in added.items() if p.grad is None or not p.grad.isfinite().all()] == []
    assert all(p.grad.abs().max() > 0 for name, p in added.items() if name.endswith("weight"))
    torch.optim.SGD(ours.parameters(), lr=0.01).step()
    assert not torch.allclose(ours.eval()(x), before)


def test_a_pattern_attaches_a_mechanism_of_its_own_to_every_place():
    ours, plain = alike(lambda: resnet(3, blocks=2))
    saccade.attach(ours, "se", at="layer*.1", reduction=2, say=None)
    assert [(a.place, a.channels) for a in list_attachments(ours)] == [
        ("layer1.1", 8), ("layer2.1", 16), ("layer3.1", 24), ("layer4.1", 32)
    ]  # fmt: skip
    for place in ("layer1.1", "layer2.1", "layer3.1", "layer4.1"):
        hook(plain, place, copy.deepcopy(ours.get_submodule(place).se))
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(ours(x), plain(x))


def test_a_module_that_is_called_twice_sends_both_outputs_through_one_mechanism():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.norm = Block(), nn.BatchNorm2d(8)
            self.stem = nn.Conv2d(1, 8, 1)

        def forward(self, x):
            return self.block(self.norm(self.block(self.stem(x))))

    ours, plain = alike(Twice)
    lines = []
    saccade.attach(ours, "sse", at="block", example=torch.zeros(1, 1, 5, 4), say=lines.append)
    x = torch.randn(2, 1, 5, 7)
    with saccade.record(ours) as maps:
        y = ours(x)
    assert len(maps["block.sse.map"].calls) == 2
    assert torch.equal(y, hook(plain, "block", copy.deepcopy(ours.block.sse))(x))
    # 8 weights for 20 positions, twice, a multiplication and an addition each.
    assert list_attachments(ours)[0].flops == 2 * 2 * 8 * 20
    assert lines == ["sse behind block: 8 channels in 2D, 9 parameters, 0.00064 MFLOP for an input of (1, 1, 5, 4)"]


def test_two_mechanisms_behind_one_module_follow_in_order_and_keep_the_names_that_are_taken():
    ours, plain = alike(layers)
    ours.layer1.scse = plain.layer1.scse = None  # a name that is taken
    for name in ("se", "cbam", "se", "scse"):
        saccade.attach(ours, name, at="layer1", reduction=2, say=None)
    children = ["se", "cbam", "se_2", "scse_2"]
    assert [a.child for a in list_attachments(ours)] == children
    assert ours.layer1.scse is None
    for child in children:
        hook(plain, "layer1", copy.deepcopy(ours.layer1.get_submodule(child)))
    x = torch.randn(2, 1, 7, 5)
    with torch.no_grad():
        assert torch.equal(ours(x), plain(x))


def test_detach_keeps_modes_and_what_was_trained_and_leaves_other_networks_alone():
    ours, plain = alike(layers)
    ours.train()
    ours.stem[1].eval()
    modes = [m.training for m in ours.modules()]
    saccade.attach(ours, "cbam", at="layer1", reduction=2, say=None)
    assert ours.layer1.cbam.training
    saccade.attach(ours, "se", at="stem.1", reduction=2, say=None)
    assert not ours.stem[1].se.training
    with torch.no_grad():
        ours.layer1[0].conv.weight.zero_()
    saccade.detach(ours.layer1)
    assert [a.place for a in list_attachments(ours)] == ["stem.1"]
    assert not isinstance(ours.layer1, Attached)
    saccade.detach(ours)
    assert [m.training for m in ours.modules()] == modes
    assert ours.layer1[0].conv.weight.abs().max() == 0
    assert saccade.detach(plain) is plain


def test_maps_are_recorded_under_the_place_and_are_what_was_used():
    ours, _ = alike(lambda: resnet(3))
    saccade.attach(ours, "cbam", at=["layer1", "layer3"], reduction=4, say=None)
    saccade.attach(ours, "non-local", at="layer4", say=None)
    with saccade.record(ours, queries=[(1, 0, 0)]) as maps:
        ours(torch.randn(1, 1, 20, 12, 8))
    assert {name: (m.kind, m.grid) for name, m in maps.items()} == {
        "layer1.cbam.channel.map": ("channel", None),
        "layer1.cbam.spatial.map": ("spatial", (10, 6, 4)),
        "layer3.cbam.channel.map": ("channel", None),
        "layer3.cbam.spatial.map": ("spatial", (3, 2, 1)),
        "layer4.non_local.map": ("pairwise", (2, 1, 1)),
    }
    assert maps["layer4.non_local.map"].tensor.shape == (1, 1, 1, 2)


def test_what_was_added_is_said_and_kept(capsys):
    ours, _ = alike(layers)
    x = torch.zeros(1, 1, 36, 36)
    saccade.attach(ours, "self-attention", at="layer1", example=x)
    # 1x1 convolutions of 8 channels to 1, 1 and 8, with biases, and gamma.
    parameters = 9 + 9 + 72 + 1
    # These convolutions at n = 1296 positions, and two products of n x n pairs, in 1 channel and in 8.
    n = 36 * 36
    flops = 2 * n * 8 * 10 + 2 * n * n * (1 + 8)
    added = list_attachments(ours)[0]
    assert (added.parameters, added.flops, added.input_shape) == (parameters, flops, (1, 1, 36, 36))
    printed = capsys.readouterr().out
    assert printed == (
        f"self-attention behind layer1: 8 channels in 2D, 91 parameters, {flops / 1e6:.3g} MFLOP "
        "for an input of (1, 1, 36, 36)\n"
    )
    saccade.attach(ours, "se", at="layer2", reduction=2, say=None)
    assert capsys.readouterr().out == ""


def test_the_network_is_only_looked_at_while_places_are_found():
    ours, plain = alike(lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5)))
    ours.train()
    state = torch.get_rng_state()
    saccade.attach(ours, lambda channels: nn.Identity(), at="1", say=None)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_state(ours.state_dict(), plain.state_dict())  # also of the batch norm: statistics and count
    assert all(m.training for m in ours.modules())
    assert all(p.grad is None for p in ours.parameters())
    ours.double()
    saccade.attach(ours, "se", at="0", reduction=2, say=None)
    assert ours(torch.zeros(2, 1, 5, 7, dtype=torch.float64)).dtype == torch.float64
