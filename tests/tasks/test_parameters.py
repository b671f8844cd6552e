"""Patterns on the names of parameters: what they freeze, how fast they let learn, and what fits nothing."""

import pytest
import torch
from torch import nn

from saccade.errors import InputError
from saccade.tasks.parameters import freeze, keep_frozen_statistics, rate_groups


def network() -> nn.Module:
    block = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))
    return nn.ModuleDict({"encoder": block, "head": nn.Conv3d(2, 3, 1)})


def trained(net: nn.Module) -> list[str]:
    return [name for name, parameter in net.named_parameters() if parameter.requires_grad]


def test_frozen_parameters_and_the_statistics_beside_them() -> None:
    net = network()
    freeze(net, ["encoder.1.*", "head.bias"])
    assert trained(net) == ["encoder.0.weight", "encoder.0.bias", "head.weight"]
    assert not net["encoder"][1].training
    assert net["encoder"][0].training
    net.train()
    keep_frozen_statistics(net)
    before = net["encoder"][1].running_mean.clone()
    net["encoder"](torch.randn(2, 1, 3, 5, 7))
    assert torch.equal(net["encoder"][1].running_mean, before)
    free = network()
    keep_frozen_statistics(free)
    assert free["encoder"][1].training


def test_rates_in_groups_the_last_fit_counts() -> None:
    net = network()
    freeze(net, ["head.bias"])
    groups = rate_groups(net, {"encoder.*": 0.1, "*.bias": 0.5})
    sizes = {group["factor"]: sum(p.numel() for p in group["params"]) for group in groups}
    # factor 1: head.weight 6; 0.1: weights of convolution and norm, 2 each; 0.5: their biases; head.bias is frozen
    assert sizes == {1.0: 6, 0.1: 4, 0.5: 4}
    assert groups[0]["factor"] == 1.0
    assert [group["factor"] for group in rate_groups(network(), {})] == [1.0]
    assert [group["factor"] for group in rate_groups(network(), {"*": 0.2})] == [0.2]


@pytest.mark.parametrize(
    ("pattern", "near"), [("encodr.*", "encoder.*"), ("head.wieght", "head.weight"), ("Encoder.0.*", "encoder.0.*")]
)
def test_a_pattern_that_fits_nothing(pattern, near) -> None:
    for setting, function in (("freeze", lambda: freeze(network(), [pattern])),
                              ("rates", lambda: rate_groups(network(), {pattern: 0.5}))):  # fmt: skip
        with pytest.raises(InputError) as error:
            function()
        assert str(error.value) == (
            f"training.{setting}: '{pattern}' fits no parameter of the network. Did you mean '{near}'?"
        )


def test_something_must_be_left_to_train() -> None:
    with pytest.raises(InputError) as error:
        freeze(network(), ["*"])
    assert str(error.value) == "training.freeze: must leave something to train, every parameter is frozen."
