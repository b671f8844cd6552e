"""What can be attached: every mechanism by its name, makers of one's own, settings."""

import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from attach_networks import Skip, alike, layers

import saccade
from saccade import attention
from saccade.attention.attach import list_attachments
from saccade.attention.attach_mechanisms import GATES, MECHANISMS
from saccade.errors import InputError


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_by_its_name(name, dims):
    ours, _ = alike(lambda: layers(channels=16, dims=dims))
    saccade.attach(ours, name, at="layer1", example=torch.zeros(1, 1, *[6] * dims), say=None)
    child = ours.layer1.get_submodule(name.replace("-", "_"))
    assert type(child) is MECHANISMS[name]
    with saccade.record(ours) as maps:
        ours(torch.randn(2, 1, *[5] * dims)).sum().backward()
    assert maps
    assert all(map_name.startswith(f"layer1.{name.replace('-', '_')}.") for map_name in maps)
    assert all(p.grad is not None for p in child.parameters())


@pytest.mark.parametrize("name", GATES)
def test_every_gate_by_its_name(name):
    ours, _ = alike(Skip)
    place = "up" if name == "same-grid-gate" else "skip"
    source = "down" if name == "same-grid-gate" else "bottom"
    lines = []
    saccade.attach(ours, name, at=place, gate_from=source, example=torch.zeros(1, 1, 8, 8), say=lines.append)
    assert type(ours.get_submodule(f"{place}.{name.replace('-', '_')}")) is GATES[name]
    assert lines[0].startswith(f"{name} behind {place}, gated by {source}: 4 channels in 2D, ")
    assert list_attachments(ours)[0].flops > 0


def test_every_mechanism_of_one_feature_map_has_a_name():
    named = set(MECHANISMS.values()) | set(GATES.values())
    others = {"MultiAttentionGate", "SpatialTransformer", "GlimpseSensor", "MultiHeadAttention", "VisualAttention"}
    takes_a_map = {
        name
        for name in attention.__all__
        if isinstance(made := getattr(attention, name), type)
        and issubclass(made, nn.Module)
        and next(iter(inspect.signature(made).parameters), "") in ("channels", "in_channels")
    }
    others |= {
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
        "FeedForward",
        "LocationPolicy",
    }  # tokens, (b, n, c)
    others |= {"SinusoidalPositions", "LearnedPositions"}
    assert takes_a_map - others == {made.__name__ for made in named}


def scaled(channels, spatial_dims, *, factor=1.0):
    layer = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims](channels, channels, 1, bias=False)
    nn.init.constant_(layer.weight, factor)
    return layer


def squeezed(channels):
    return attention.SqueezeExcitation(channels, reduction=2)


def in_order(width, dims):
    return attention.CBAM(width, reduction=2, spatial_dims=dims)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("maker", "settings", "child"),
    [
        (attention.CBAM, {"reduction": 4}, "CBAM"),
        (attention.EfficientChannelAttention, {"kernel_size": 5}, "EfficientChannelAttention"),
        (scaled, {"factor": 2.0}, "scaled"),
        (squeezed, {}, "squeezed"),
        (in_order, {}, "in_order"),
        (lambda channels: nn.Identity(), {}, "attention"),
    ],
)
def test_makers_of_ones_own(maker, settings, child, dims):
    ours, _ = alike(lambda: layers(dims=dims))
    saccade.attach(ours, maker, at="layer2", **settings, say=None)
    made = ours.layer2.get_submodule(child)
    if maker is attention.CBAM:
        assert made.channel.shrink.out_features == 8 // 4
    elif maker is attention.EfficientChannelAttention:
        assert made.kernel_size == 5
    elif maker is scaled:
        assert made.weight.shape == (8, 8, *[1] * dims)
        assert made.weight.min() == 2.0


@pytest.mark.parametrize(
    ("mechanism", "settings", "message"),
    [
        ("cban", {}, "attach: unknown mechanism 'cban'. Did you mean 'cbam'? Known: squeeze-excitation, se, cse, "),
        ("cbam", {"reducton": 2}, "attach: unknown setting of cbam 'reducton'. Did you mean 'reduction'? Known: red"),
        (scaled, {"faktor": 2}, "attach: unknown setting of scaled 'faktor'. Did you mean 'factor'? Known: spatial"),
        ("cbam", {"channels": 8}, "attach: unknown setting of cbam 'channels'."),
        ("cbam", {"spatial_dims": 3}, "attach: spatial_dims must be 2, as 'layer1' has it, got 3."),
        ("cbam", {}, "attach: cbam does not fit behind 'layer1': CBAM: reduction must be between 1 and ch"),
        ("gate", {}, "attach: gate needs gate_from, the name of a module."),
        ("se", {"gate_from": "stem"}, "attach: se takes no gating signal. Leave out gate_from."),
        ("gate", {"gate_from": "bottom"}, "attach: 'bottom' is no module of the network. Did you mean "),
        (
            "scse",
            {"aggregation": "concatenate"},
            "attach: scse behind 'layer1' must give (1, 8, 32, 32) as it takes it, got (1, 16, 32, 32).",
        ),
        ("sca", {"hidden_size": 3}, "attach: sca behind 'layer1' cannot take its output: SCA: forward takes a st"),
        (lambda channels: channels, {}, "attach: <lambda> must make a torch.nn.Module, got int."),
        (lambda channels: nn.Linear(3, 3), {}, "attach: <lambda> behind 'layer1' cannot take its output: RuntimeE"),
        (attention.AttentionGate, {}, "attach: AttentionGate does not fit behind 'layer1': "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_leaves_the_network_as_it_was(mechanism, settings, message):
    ours, _ = alike(layers)
    before = [(name, type(module)) for name, module in ours.named_modules()]
    with pytest.raises(InputError) as error:
        saccade.attach(ours, mechanism, at="layer1", **settings)
    assert str(error.value).startswith(message)
    assert [(name, type(module)) for name, module in ours.named_modules()] == before


def test_spatial_dims_may_be_said_if_they_are_right():
    ours, _ = alike(layers)
    saccade.attach(ours, "se", at="layer1", reduction=2, spatial_dims=2, say=None)
    saccade.attach(ours, "cbam", at="layer1", reduction=2, spatial_dims=2, say=None)
    assert [a.mechanism for a in list_attachments(ours)] == ["se", "cbam"]
