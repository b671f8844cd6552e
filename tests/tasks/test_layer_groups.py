"""Layer groups: what is trained, and how fast, said by the parts of a network."""

import pytest
from torch import nn

from saccade.errors import InputError
from saccade.runs import make_network
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.layer_groups import with_layer_groups
from saccade.tasks.parameters import freeze, rate_groups


def config(system: str = "resnet", network: dict | None = None, **training) -> ClassificationConfig:
    data = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": [16, 16],
            "channels": 1, "intensity": {"kind": "z_score"}}  # fmt: skip
    small = {"channels": [4, 4, 4], "blocks": [1, 1, 1], "stem": "small"} if network is None else network
    return ClassificationConfig.parse({"system": system, "network": small, "data": data, "training": training}, "test")


def trained(**training) -> set[str]:
    settings = config(**training)
    net = make_network(settings)
    freeze(net, with_layer_groups(settings, net).training.freeze)
    return {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.requires_grad}


def test_freeze_to_counts_from_either_end() -> None:
    everything = {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}
    assert trained(freeze_to=-1) == trained(freeze_to=2) == {"fc"}
    assert trained(freeze_to=-2) == trained(freeze_to=1) == {"layer2", "layer3", "fc"}
    assert trained(freeze_to=0) == trained(freeze_to=-3) == trained() == everything
    assert trained(freeze_to=-2, freeze=["layer2.*"]) == {"layer3", "fc"}


def test_a_rate_for_each_group_and_names_have_the_last_word() -> None:
    settings = config(group_rates=[0.01, 0.1, 1.0], rates={"fc.bias": 3.0})
    net = make_network(settings)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = {
        names[id(parameter)]: group["factor"]
        for group in rate_groups(net, with_layer_groups(settings, net).training.rates)
        for parameter in group["params"]
    }
    some = ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.bn2.bias", "fc.weight", "fc.bias")
    assert [found[name] for name in some] == [0.01, 0.01, 0.1, 1.0, 3.0]


def test_what_is_written_down_stays_as_the_user_said_it() -> None:
    settings = config(freeze_to=-1)
    with_layer_groups(settings, make_network(settings))
    assert settings.training.freeze == ()


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"freeze_to": 3}, "training.freeze_to: must be from -3 to 2, resnet has 3 layer groups, got 3."),
        ({"freeze_to": -4}, "training.freeze_to: must be from -3 to 2, resnet has 3 layer groups, got -4."),
        (
            {"group_rates": [0.1, 1]},
            "training.group_rates: must have 3 factors, one for each layer group of resnet, got 2.",
        ),
    ],
)
def test_groups_that_are_not_there(training, says) -> None:
    settings = config(**training)
    with pytest.raises(InputError) as error:
        with_layer_groups(settings, make_network(settings))
    assert str(error.value) == says


def test_a_system_without_groups() -> None:
    settings = config("lenet", {}, freeze_to=-1)
    with pytest.raises(InputError) as error:
        with_layer_groups(settings, nn.Identity())
    assert str(error.value) == (
        "training.freeze_to: lenet has no layer groups. Name parameters: training.freeze, training.rates."
    )
