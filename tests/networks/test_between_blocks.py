import pytest
import torch
from torch import nn

from saccade import record
from saccade.attention import NonLocal
from saccade.networks import ResNet, put_between

SMALL = {"channels": (4, 6, 8), "blocks": (1, 3, 2)}


def names(network):
    return [[name for name, _ in network.get_submodule(f"layer{i}").named_children()] for i in (1, 2, 3)]


def test_a_single_block_stands_before_the_last_of_the_stage_before_the_last():
    network = put_between(ResNet(1, 2, **SMALL), NonLocal)
    assert names(network) == [["0"], ["0", "1", "1_attention", "2"], ["0", "1"]]
    assert network.layer2[2].g.in_channels == 6


def test_a_network_of_one_stage_of_one_block_has_it_behind_that():
    network = put_between(ResNet(1, 2, channels=(4,), blocks=(1,)), NonLocal)
    assert [name for name, _ in network.layer1.named_children()] == ["0", "0_attention"]


def test_a_trained_network_keeps_its_names_and_what_it_says_until_the_blocks_learn():
    network = ResNet(1, 2, **SMALL).eval()
    x, before = torch.randn(2, 1, 33, 29), set(network.state_dict())
    y = network(x)
    put_between(network, NonLocal, {2: [-1], 3: [0, -1]}).eval()
    assert names(network) == [["0"], ["0", "1", "2", "2_attention"], ["0", "0_attention", "1", "1_attention"]]
    assert before < set(network.state_dict())
    with record(network) as seen:
        assert torch.equal(network(x), y)
    assert list(seen) == ["layer2.2_attention.map", "layer3.0_attention.map", "layer3.1_attention.map"]


def test_what_stands_between_is_passed():
    class Zero(nn.Module):
        def __init__(self, channels):
            super().__init__()

        def forward(self, x):
            return 0 * x

    network = put_between(ResNet(1, 2, **SMALL).eval(), Zero, {3: [-1]})
    torch.testing.assert_close(network(torch.randn(2, 1, 16, 16)), network.fc.bias.expand(2, 2))


def test_places_that_are_not_there_are_named():
    with pytest.raises(ValueError, match=r"^put_between: behind must name stages from 1 to 3, got 4\.$"):
        put_between(ResNet(1, 2, **SMALL), NonLocal, {4: [0]})
    with pytest.raises(ValueError, match=r"^put_between: layer2 has 3 blocks, got block -4\.$"):
        put_between(ResNet(1, 2, **SMALL), NonLocal, {2: [-4]})


def test_more_may_come_later_but_nothing_twice():
    network = put_between(put_between(ResNet(1, 2, **SMALL), NonLocal, {2: [0]}), NonLocal, {2: [1]})
    assert names(network)[1] == ["0", "0_attention", "1", "1_attention", "2"]
    with pytest.raises(ValueError, match=r"^put_between: something stands behind layer2\.1 already\.$"):
        put_between(network, NonLocal, {3: [0], 2: [-2]})
    assert names(network)[2] == ["0", "1"]  # nothing was changed
