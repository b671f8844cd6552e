import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saccade.networks import VGG

SMALL = {"channels": (2, 3, 4), "convolutions": (1, 2, 1), "hidden": 5}


@pytest.mark.parametrize(
    ("convolutions", "millions"),
    [((1, 1, 2, 2, 2), 132.86), ((2, 2, 3, 3, 3), 138.36), ((2, 2, 4, 4, 4), 143.67)],
)
def test_the_published_depths_have_the_published_parameters(convolutions, millions):
    with torch.device("meta"):
        plain, normed = (VGG(3, 1000, convolutions=convolutions, norm=norm) for norm in (None, "batch"))
    count = sum(p.numel() for p in plain.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)
    added = sum(p.numel() for p in normed.parameters()) - count
    assert added == 2 * sum(n * c for n, c in zip(convolutions, (64, 128, 256, 512, 512), strict=True))


@pytest.mark.parametrize("norm", [None, "batch", "instance"])
def test_the_layers_one_by_one(norm):
    network, x = VGG(1, 4, norm=norm, **SMALL).eval(), torch.randn(2, 1, 34, 27)
    y = x
    weights = iter([m for m in network.features if isinstance(m, nn.Conv2d)])
    norms = iter([m for m in network.features if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d)])
    for count in (1, 2, 1):
        for _ in range(count):
            conv = next(weights)
            y = F.conv2d(y, conv.weight, conv.bias, padding=1)
            y = (y if norm is None else next(norms)(y)).relu()
        y = F.max_pool2d(y, 2)
    assert next(norms, None) is None
    y = F.adaptive_avg_pool2d(y, 7).flatten(1)
    linear = [m for m in network.classifier if isinstance(m, nn.Linear)]
    torch.testing.assert_close(network(x), linear[2](linear[1](linear[0](y).relu()).relu()))


def test_without_hidden_layers_the_mean_is_classified():
    network = VGG(1, 2, spatial_dims=3, channels=(2, 3), convolutions=(1, 1), hidden=None).eval()
    x = torch.randn(2, 1, 9, 5, 7)
    (linear,) = network.classifier
    torch.testing.assert_close(network(x), linear(network.features(x).flatten(2).mean(2)))


def test_dropout_is_where_it_was():
    network = VGG(1, 2, dropout=0.25, **SMALL)
    assert [(i, m.p) for i, m in enumerate(network.classifier) if isinstance(m, nn.Dropout)] == [(2, 0.25), (5, 0.25)]


def test_what_cannot_be_built_or_seen_is_named():
    with pytest.raises(ValueError, match=r"^VGG: channels and convolutions must name the same blocks, got 1 and 5\.$"):
        VGG(1, 2, channels=(4,))
    with pytest.raises(ValueError, match=r"^VGG: hidden must be at least 1, got 0\.$"):
        VGG(1, 2, hidden=0)
    message = r"^VGG: every axis must have at least 8 positions, got \(8, 7\)\. Take fewer blocks\.$"
    with pytest.raises(ValueError, match=message):
        VGG(1, 2, **SMALL)(torch.randn(1, 1, 8, 7))
