import pytest
import torch
from torch.nn import functional as F

from saccade.networks import LeNet


def test_the_published_form_has_the_published_parameters():
    assert sum(p.numel() for p in LeNet(1, 10).parameters()) == 61_706


def test_a_digit_stands_in_the_middle_of_a_field_of_32():
    network = LeNet(1, 10)
    x = torch.randn(2, 1, 28, 27)
    torch.testing.assert_close(network(x), network(F.pad(x, (2, 3, 2, 2))))


def test_the_layers_one_by_one():
    network, x = LeNet(1, 4, channels=(2, 3, 5), hidden=7), torch.randn(2, 1, 32, 36)
    state = network.state_dict()
    y = x
    for i in (0, 3, 6):
        y = torch.tanh(F.conv2d(y, state[f"features.{i}.weight"], state[f"features.{i}.bias"]))
        y = F.avg_pool2d(y, 2) if i < 6 else y
    assert y.shape == (2, 5, 1, 2)  # more than one position is averaged
    y = torch.tanh(F.linear(y.mean((2, 3)), state["classifier.0.weight"], state["classifier.0.bias"]))
    y = F.linear(y, state["classifier.2.weight"], state["classifier.2.bias"])
    torch.testing.assert_close(network(x), y)


def test_other_numbers_of_channels_than_three_are_named():
    with pytest.raises(ValueError, match=r"^LeNet: channels must be three numbers, got 2\.$"):
        LeNet(1, 2, channels=(4, 8))
