"""Where attention can go: names, patterns, what is refused, and how channels are found."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from attach_networks import Block, alike, layers, same_state

import saccade
from saccade.attention.attach import list_attachments
from saccade.attention.attach_places import survey, width_of
from saccade.errors import InputError


def refused(network, at, **settings):
    """The message of a refusal, after which the network is what it was."""
    before = [(name, id(module), type(module)) for name, module in network.named_modules()]
    with pytest.raises(InputError) as error:
        saccade.attach(network, "se", at=at, **{"reduction": 2, **settings})
    assert [(name, id(module), type(module)) for name, module in network.named_modules()] == before
    return str(error.value)


def test_places_are_the_modules_that_give_feature_maps_with_their_channels():
    network = nn.Sequential(nn.Conv3d(2, 6, 3), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 3))
    places = survey(network).places
    assert {name: (place.channels, place.spatial_dims) for name, place in places.items()} == {
        "0": (6, 3), "1": (6, 3), "2": (6, 3)
    }  # fmt: skip
    assert places["1"].shapes == ((1, 6, 15, 15, 15),)


def test_a_pattern_stays_within_a_name_and_two_stars_do_not():
    names = list(survey(layers()).places)
    assert names == [
        "stem", "stem.0", "stem.1", "stem.2",
        "layer1", "layer1.0", "layer1.0.conv", "layer1.0.act", "layer1.1", "layer1.1.conv", "layer1.1.act",
        "layer2", "layer2.0", "layer2.0.conv", "layer2.0.act", "layer2.1", "layer2.1.conv", "layer2.1.act",
    ]  # fmt: skip
    found = survey(layers())

    def chosen(at):
        return [place.name for place in found.choose(at)]

    assert chosen("*") == ["stem", "layer1", "layer2"]
    assert chosen("layer?.1") == ["layer1.1", "layer2.1"]
    assert chosen("layer*.*") == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert chosen("layer2**conv") == ["layer2.0.conv", "layer2.1.conv"]
    assert chosen(["layer2", "layer*"]) == ["layer2", "layer1"]
    assert chosen("stem.?") == ["stem.0", "stem.1", "stem.2"]


def test_unknown_names_are_refused_with_the_places_nearest_first():
    assert refused(layers(), "layer3").startswith(
        "attach: 'layer3' is no module of the network. Did you mean 'layer1'? Places: layer1, layer2, layer1.0, "
    )
    assert refused(layers(), "layers*").startswith(
        "attach: no place matches 'layers*'. Did you mean 'layer1'? Places: "
    )
    assert refused(layers(), []) == "attach: at must name one place or several, got none."
    assert refused(layers(), "").startswith("attach: '' is no module of the network. ")
    deep = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(35)])
    assert refused(deep, "x").endswith(", 29 and 5 more.")


class Odd(nn.Module):
    """Modules that are no places: tokens, an object, one that is not called, one called at two widths."""

    def __init__(self):
        super().__init__()
        self.conv, self.wide, self.act = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 1), nn.ReLU()
        self.last, self.tokens, self.unused = nn.LayerNorm(8), nn.Linear(8, 5), nn.Conv2d(1, 1, 1)
        self.table = Table()

    def forward(self, x):
        x = self.act(self.wide(self.act(self.conv(x))))
        self.last(x.movedim(1, -1))
        self.table(x)
        return self.tokens(x.flatten(2).mT)


class Table(nn.Module):
    def forward(self, x):
        return {"x": x}


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("tokens", "gives (1, 900, 5), which is no feature map (batch, channels, *space). Did"),
        ("last", "gives (1, 30, 30, 8), which is no feature map (batch, channels, *space). Did"),
        ("table", "gives dict, not a tensor, nor a tuple or list that begins with one. Did"),
        ("unused", "is not called when the network runs. Did"),
        ("act", "is called several times with 4 and 8 channels, where one mechanism has one. Did"),
    ],
)
def test_modules_that_give_no_feature_map_are_refused_with_the_reason(at, why):
    assert refused(Odd(), at).startswith(f"attach: '{at}' {why}")


def test_tokens_of_a_network_of_sequences_are_told_from_signals():
    signals = nn.Sequential(nn.Conv1d(3, 6, 3), nn.ReLU())
    saccade.attach(signals, "se", at="1", reduction=2, say=None)
    assert (list_attachments(signals)[0].channels, list_attachments(signals)[0].spatial_dims) == (6, 1)
    tokens = nn.Sequential(nn.Linear(3, 6), nn.Sequential(nn.LayerNorm(6), nn.ReLU()))
    example = torch.zeros(1, 7, 3)
    for at in ("0", "1", "1.0", "1.1"):
        assert refused(tokens, at, example=example).startswith(f"attach: '{at}' gives (1, 7, 6), which is no feature")


class Output(dict):
    """What gives its values by name, as model outputs of Hugging Face do."""

    def __getattr__(self, name):
        return self[name]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([Block(), Block()])

    def forward(self, hidden_state, return_all=False):
        states = [hidden_state]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return Output(last_hidden_state=states[-1], hidden_states=tuple(states) if return_all else None)


class Model(nn.Module):
    """A backbone in the style of Hugging Face: inputs by name, an object out."""

    def __init__(self):
        super().__init__()
        self.embedder, self.encoder = nn.Conv2d(3, 8, 3, padding=1), Encoder()

    def forward(self, *, pixel_values):
        out = self.encoder(self.embedder(pixel_values), return_all=True)
        return Output(last_hidden_state=out.last_hidden_state, pooled=out.last_hidden_state.mean((2, 3)))


def test_a_model_that_takes_its_input_by_name_and_gives_an_object():
    ours, plain = alike(Model)
    pixels = torch.randn(2, 3, 9, 7)
    assert refused(ours, "encoder", example={"pixel_values": pixels}).startswith(
        "attach: 'encoder' gives Output, not a tensor, nor a tuple or list that begins with one. Did you mean 'encode"
    )
    saccade.attach(ours, "cbam", at="encoder.stages.1", example={"pixel_values": pixels}, reduction=2, say=None)
    assert list_attachments(ours)[0].input_shape == (2, 3, 9, 7)
    attended = ours.encoder.stages[1].cbam(plain(pixel_values=pixels).last_hidden_state)
    assert torch.equal(ours(pixel_values=pixels).pooled, attended.mean((2, 3)))


class TwoInputs(nn.Module):
    """Takes no zeros: two inputs of different size."""

    def __init__(self):
        super().__init__()
        self.conv, self.block = nn.Conv3d(2, 8, 3, padding=1), Block(dims=3)
        self.stem = nn.Sequential(nn.Conv3d(8, 6, 1), nn.InstanceNorm3d(6), nn.ReLU())
        self.plain = nn.Sequential(nn.ReLU())

    def forward(self, x, y):
        return self.stem(self.block(self.conv(x)) + y)


def test_without_a_run_weights_tell_channels_or_an_example_is_asked_for():
    lines = []
    network = saccade.attach(TwoInputs(), "cbam", at="stem", reduction=2, say=lines.append)
    assert lines == ["cbam behind stem: 6 channels in 3D, 733 parameters"]  # 2 x 18 + 9, 686, 2
    saccade.attach(network, "se", at=["stem", "conv"], reduction=2, say=None)
    assert [(a.place, a.child, a.channels) for a in list_attachments(network)] == [
        ("conv", "se", 8), ("stem", "cbam", 6), ("stem", "se", 6)
    ]  # fmt: skip
    for at in ("block", "plain"):
        assert refused(TwoInputs(), at).startswith(
            f"attach: '{at}' does not tell its channels by its weights, and the network takes no zeros. "
            "Give example=, an input of the network. Did you mean '"
        )
    inputs = (torch.zeros(1, 2, 4, 5, 3), torch.zeros(()))
    saccade.attach(network, "se", at="block", reduction=2, example=inputs, say=None)
    assert next(a for a in list_attachments(network) if a.place == "block").input_shape == (1, 2, 4, 5, 3)
    lazy = nn.Sequential(nn.LazyConv2d(4, 1), nn.Conv2d(4, 4, 1))
    saccade.attach(lazy, "se", at="1", reduction=2, say=None)
    assert lazy(torch.zeros(1, 3, 2, 2)).shape == (1, 4, 2, 2)  # the size was not taken from made-up zeros
    linear = nn.Sequential(nn.Linear(2, 2))
    assert refused(linear, "1") == "attach: '1' is no module of the network. Give example=, an input of the network."


def test_an_example_that_does_not_fit_is_refused():
    ours, plain = alike(layers)
    assert refused(ours, "layer1", example=torch.zeros(1, 2, 5, 5)).startswith(
        "attach: the network cannot take the example (RuntimeError: Given groups=1, weight of size [8, 1, 3, 3], "
    )
    assert same_state(ours.state_dict(), plain.state_dict())


def test_zeros_are_made_larger_until_the_network_takes_them():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=8), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 2, 4))
    assert survey(network).places["2"].shapes == ((1, 2, 4, 4),)  # 128: 16, 7, 4; with 64: 8, 3, too few


@pytest.mark.parametrize(
    ("module", "width"),
    [
        (nn.Conv1d(2, 5, 3), (5, 1)),
        (nn.ConvTranspose3d(2, 5, 3), (5, 3)),
        (nn.BatchNorm2d(7), (7, 2)),
        (nn.InstanceNorm3d(7), (7, 3)),
        (nn.Sequential(nn.Conv2d(2, 5, 3), nn.Sequential(nn.BatchNorm2d(5), nn.Dropout2d()), nn.ReLU()), (5, 2)),
        (nn.Sequential(nn.Conv2d(2, 5, 3), nn.PixelShuffle(1)), None),
        (nn.Sequential(nn.ReLU()), None),
        (nn.GroupNorm(1, 7), None),
        (Block(), None),
    ],
)
def test_what_weights_tell(module, width):
    assert width_of(module) == width
