import pytest
import torch
from monai.networks.nets import DenseNet as MonaiDenseNet

from saccade.networks import DenseNet

SPACES = {1: (67,), 2: (45, 29), 3: (31, 29, 30)}


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_equals_the_densenet_of_monai_in_eval_and_training(dims):
    theirs = MonaiDenseNet(dims, 2, 5, init_features=6, growth_rate=3, block_config=(2, 1, 3, 2))
    ours = DenseNet(2, 5, spatial_dims=dims, growth=3, blocks=(2, 1, 3, 2), width=6)
    names = {"class_layers.out": "classifier", ".layers.": "."}
    state = {}
    for key, value in theirs.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key] = value
    ours.load_state_dict(state)
    for mode in (True, False):
        found = []
        for network in (ours, theirs):
            x = torch.randn(3, 2, *SPACES[dims], generator=torch.Generator().manual_seed(1), requires_grad=True)
            y = network.train(mode)(x)
            y.square().sum().backward()
            found.append((y, x.grad, network.features.norm0.running_var))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({}, 7.98),
        ({"blocks": (6, 12, 36, 24), "growth": 48, "width": 96}, 28.68),
        ({"blocks": (6, 12, 32, 32)}, 14.15),
        ({"blocks": (6, 12, 48, 32)}, 20.01),
    ],
)
def test_the_published_depths_have_the_published_parameters(settings, millions):
    with torch.device("meta"):
        count = sum(p.numel() for p in DenseNet(3, 1000, **settings).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("stem", "least", "grid"), [("imagenet", 13, 4), ("small", 4, 16)])
def test_each_stem_takes_what_it_says(stem, least, grid):
    network = DenseNet(1, 2, growth=2, blocks=(1, 1, 1), width=4, stem=stem).eval()
    assert network.features(torch.randn(1, 1, 64, 64)).shape[2:] == (grid, grid)
    assert network(torch.randn(1, 1, least, least)).shape == (1, 2)
    message = rf"^DenseNet: every axis must have at least {least} positions, got \({least - 1}, {least}\)\. Take fewer"
    with pytest.raises(ValueError, match=message):
        network(torch.randn(1, 1, least - 1, least))


def test_an_unknown_stem_is_named():
    with pytest.raises(
        ValueError, match=r"^DenseNet: unknown stem 'smal'\. Did you mean 'small'\? Known: imagenet, sm"
    ):
        DenseNet(1, 2, stem="smal")
