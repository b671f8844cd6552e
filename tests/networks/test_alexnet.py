import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saccade.networks import AlexNet

SMALL = {"channels": (2, 3, 4, 5, 6), "hidden": 7}


def test_the_published_form_has_the_published_parameters():
    with torch.device("meta"):
        count = sum(p.numel() for p in AlexNet(3, 1000).parameters())
    assert count / 1e6 == pytest.approx(61.10, abs=0.005)


def test_the_layers_one_by_one():
    network, x = AlexNet(1, 4, **SMALL).eval(), torch.randn(2, 1, 70, 67)
    state = network.state_dict()
    y = x
    for i, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        y = F.conv2d(y, state[f"features.{i}.weight"], state[f"features.{i}.bias"], stride, padding).relu()
        y = F.max_pool2d(y, 3, 2) if i in (0, 3, 10) else y
    y = F.adaptive_avg_pool2d(y, 6).flatten(1)
    for i in (1, 4, 6):
        y = F.linear(y, state[f"classifier.{i}.weight"], state[f"classifier.{i}.bias"])
        y = y.relu() if i < 6 else y
    torch.testing.assert_close(network(x), y)


def test_each_stem_takes_what_it_says():
    for stem, least in (("imagenet", 63), ("small", 15)):
        network = AlexNet(1, 2, stem=stem, **SMALL).eval()
        assert network(torch.randn(1, 1, least, least)).shape == (1, 2)
        with pytest.raises(
            ValueError,
            match=rf"^AlexNet: every axis must have at least {least} positions, got \({least}, {least - 1}\)\. "
            r'stem="small" takes 15\.$',
        ):
            network(torch.randn(1, 1, least, least - 1))


def test_without_hidden_layers_the_mean_is_classified():
    network = AlexNet(1, 2, spatial_dims=3, stem="small", channels=(2, 3, 4, 5, 6), hidden=None).eval()
    x = torch.randn(2, 1, 16, 17, 19)
    (linear,) = network.classifier
    torch.testing.assert_close(network(x), linear(network.features(x).flatten(2).mean(2)))


def test_dropout_is_where_it_was():
    network = AlexNet(1, 2, dropout=0.25, **SMALL)
    assert [(i, m.p) for i, m in enumerate(network.classifier) if isinstance(m, nn.Dropout)] == [(0, 0.25), (3, 0.25)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (1, 2)}, r"^AlexNet: channels must be five numbers, got 2\.$"),
        ({"hidden": 0}, r"^AlexNet: hidden must be at least 1, got 0\.$"),
        ({"stem": "tiny"}, r"^AlexNet: unknown stem 'tiny'\. Known: imagenet, small\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AlexNet(1, 2, **arguments)
