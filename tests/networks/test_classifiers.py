"""What every classifier promises, whatever is inside it."""

import pytest
import torch

from saccade.networks import (
    VGG,
    AGSonoNet,
    AlexNet,
    DenseNet,
    LearnToPayAttention,
    LeNet,
    NonLocalC2D,
    RecurrentAttentionModel,
    ResNet,
    SonoNet,
    STNClassifier,
)
from saccade.networks.inference import for_inference

SPACES = {1: (71,), 2: (37, 33), 3: (33, 37, 32)}
TINY = {1: (31,), 2: (17, 23), 3: (17, 19, 16)}
BLOCKS = {"channels": (2, 3, 4, 4, 4), "convolutions": (1, 2, 1, 1, 1)}
MAKE = {
    "AGSonoNet": (AGSonoNet, BLOCKS, TINY),
    "AlexNet": (AlexNet, {"channels": (2, 3, 4, 4, 3), "stem": "small", "hidden": 5}, TINY),
    "DenseNet": (DenseNet, {"growth": 2, "blocks": (1, 2, 1), "width": 4}, TINY),
    "LearnToPayAttention": (LearnToPayAttention, BLOCKS, TINY),
    "LeNet": (LeNet, {"channels": (2, 3, 4), "hidden": 5}, SPACES),
    "RecurrentAttentionModel": (RecurrentAttentionModel, {"size": 4, "scales": 2, "hidden": 8}, TINY),
    "ResNet": (ResNet, {"channels": (2, 4, 6), "blocks": (1, 2, 1)}, TINY),
    "SonoNet": (SonoNet, BLOCKS, TINY),
    "STNClassifier": (STNClassifier, {"size": (32,)}, SPACES),
    "VGG": (VGG, {"channels": (2, 4, 3), "convolutions": (1, 2, 1), "hidden": 5}, TINY),
}
CASES = [(name, dims) for name in MAKE for dims in (1, 2, 3)] + [("NonLocalC2D", 3)]


def made(name, dims):
    torch.manual_seed(0)
    if name == "NonLocalC2D":
        network = NonLocalC2D(2, 3, channels=(4, 6), blocks=(1, 3), bottleneck=False)
        space = (5, 33, 29)
    else:
        kind, settings, spaces = MAKE[name]
        settings = {**settings, "size": (32,) * dims} if name == "STNClassifier" else settings
        network, space = kind(2, 3, spatial_dims=dims, **settings), spaces[dims]
    return network, torch.randn(3, 2, *space)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_items_do_not_see_each_other_and_evaluation_knows_no_chance(name, dims):
    network, x = made(name, dims)
    with torch.no_grad():
        network(x)  # training mode: running statistics of some size
        y = network.eval()(x)
        assert y.shape == (3, 3)
        assert torch.equal(network(x), y)
        torch.testing.assert_close(torch.cat([network(item) for item in x.split(1)]), y, rtol=1e-4, atol=1e-5)
    assert (y[0] - y[1]).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("name", "dims"), [(name, 3 if name == "NonLocalC2D" else 2) for name in [*MAKE, "NonLocalC2D"]]
)
def test_a_step_of_training_moves_all_weights_that_can_move(name, dims):
    network, x = made(name, dims)
    network.train()
    torch.nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2])).backward()
    still = {key.split(".")[0] for key, value in network.named_parameters() if value.grad is None}
    # REINFORCE teaches the policy and the baseline; deep supervision its further heads.
    assert still == {"RecurrentAttentionModel": {"policy", "baseline"}, "AGSonoNet": {"heads"}}.get(name, set())


@pytest.mark.parametrize(("name", "dims"), [(name, 2) for name in MAKE] + [("NonLocalC2D", 3)])
def test_the_form_for_inference_says_the_same(name, dims):
    network, x = made(name, dims)
    with torch.no_grad():
        network(x)
        torch.testing.assert_close(for_inference(network)(x), network.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(MAKE))
def test_wrong_dimensions_are_named(name):
    kind, settings, _ = MAKE[name]
    with pytest.raises(ValueError, match=r": spatial_dims must be 1, 2 or 3, got 4\.$"):
        kind(1, 2, spatial_dims=4, **settings)


@pytest.mark.parametrize("name", [name for name in MAKE if name != "STNClassifier"])
def test_numbers_below_one_are_named(name):
    kind, settings, _ = MAKE[name]
    with pytest.raises(ValueError, match=rf"^{name}: in_channels must be at least 1, got 0\.$"):
        kind(0, 2, **settings)
    with pytest.raises(ValueError, match=rf"^{name}: out_channels must be at least 1, got 0\.$"):
        kind(1, 0, **settings)


@pytest.mark.parametrize("name", ["AGSonoNet", "NonLocalC2D"])
def test_networks_can_be_exported(name):
    network, x = made(name, 3 if name == "NonLocalC2D" else 2)
    network.eval()
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), network(x), rtol=1e-4, atol=1e-5)
