"""Squeeze and excitation of MONAI, over the arguments of its constructors, against MONAI itself."""

import copy

import pytest
import torch
from monai.networks.blocks import squeeze_and_excitation as published
from torch import nn

from saccade import from_reference
from saccade.errors import InputError
from saccade.reference import reference_names

MONAI = "Project-MONAI/MONAI"
BLOCK = {"spatial_dims": 2, "in_channels": 6, "n_chns_1": 4, "n_chns_2": 4, "n_chns_3": 6}
BOTTLENECK = {"spatial_dims": 2, "inplanes": 8, "planes": 2, "groups": 2, "reduction": 2}
CASES = [
    ("ChannelSELayer", {"spatial_dims": 3, "in_channels": 6, "r": 3}),
    ("ChannelSELayer", {"spatial_dims": 1, "in_channels": 7, "acti_type_1": "PRELU", "acti_type_2": "tanh"}),
    ("ChannelSELayer", {"spatial_dims": 2, "in_channels": 6, "acti_type_2": ["softmax", {"dim": 1}]}),
    ("ChannelSELayer", {"spatial_dims": 2, "in_channels": 6, "acti_type_1": "swish", "add_residual": True}),
    ("ResidualSELayer", {"spatial_dims": 3, "in_channels": 6}),
    ("ResidualSELayer", {"spatial_dims": 2, "in_channels": 6, "acti_type_1": ["elu", {"alpha": 0.5}], "r": 1}),
    ("SEBlock", {**BLOCK, "spatial_dims": 1}),
    ("SEBlock", {**BLOCK, "n_chns_3": 7, "r": 3, "acti_type_1": "mish", "acti_type_2": "relu6"}),
    ("SEBlock", {**BLOCK, "acti_type_final": ["leakyrelu", {"negative_slope": 0.3}]}),
    ("SEBlock", {**BLOCK, "conv_param_1": {"kernel_size": [1, 3]}, "conv_param_2": {"norm": None, "act": None}}),
    ("SEBlock", {**BLOCK, "conv_param_1": {"conv_only": True}, "conv_param_2": {"dilation": 2, "bias": False}}),
    ("SEBlock", {**BLOCK, "conv_param_1": {"adn_ordering": "AN", "norm": ["group", {"num_groups": 2}], "groups": 2}}),
    ("SEBlock", {**BLOCK, "conv_param_1": {"strides": 1, "is_transposed": True, "act": "gelu", "dropout": 0.5}}),
    ("SEBlock", {**BLOCK, "conv_param_3": {"norm": ["instance", {"affine": True}], "padding": 1, "act": "selu"}}),
    ("SEBlock", {**BLOCK, "conv_param_3": {"norm": ["localresponse", {"size": 3}], "dropout": ["alphadropout", {}]}}),
    ("SEBottleneck", BOTTLENECK),
    ("SEBottleneck", {**BOTTLENECK, "spatial_dims": 1, "groups": 1}),
    ("SEResNetBottleneck", {**BOTTLENECK, "spatial_dims": 3}),
    ("SEResNeXtBottleneck", {**BOTTLENECK, "base_width": 64}),
]


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=generator)
            value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn / 2)
    return module


def pairs(value):
    """MONAI wants pairs as tuples where files of arguments have lists."""
    if isinstance(value, dict):
        return {key: pairs(entry) for key, entry in value.items()}
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_equals_the_class_over_its_arguments(name, arguments):
    theirs = randomised(getattr(published, name)(**pairs(arguments)))
    ours = from_reference(MONAI, name, arguments, copy.deepcopy(theirs.state_dict()))
    x = torch.randn(3, arguments.get("in_channels", 8), *(5, 7, 3)[: arguments["spatial_dims"]])
    for training in (False, True):
        outputs = []
        for module in (theirs, ours):
            torch.manual_seed(0)  # dropout
            outputs.append(module.train(training)(x.clone()))
        torch.testing.assert_close(outputs[1], outputs[0])
    mine = ours.state_dict()
    assert set(reference_names(ours, MONAI).values()) == set(theirs.state_dict())
    for key, place in reference_names(ours, MONAI).items():
        torch.testing.assert_close(mine[key], theirs.state_dict()[place])


@pytest.mark.parametrize(("name", "conv"), [("SEBottleneck", 1), ("SEResNetBottleneck", 0), ("SEResNeXtBottleneck", 1)])
def test_a_stride_and_a_way_past_may_be_given(name, conv):
    arguments = {**BOTTLENECK, "planes": 4, "stride": 2, **({"base_width": 64} if "NeXt" in name else {})}
    way = nn.Conv2d(8, 16, 1, stride=2)
    theirs = randomised(getattr(published, name)(**arguments, downsample=copy.deepcopy(way)))
    ours = from_reference(MONAI, name, {**arguments, "downsample": way}, theirs.state_dict())
    x = torch.randn(2, 8, 7, 11)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert getattr(ours, f"conv{conv + 1}").conv.stride == (2, 2)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ChannelSELayer", {"spatial_dims": 4, "in_channels": 6}, "spatial_dims must be 1, 2 or 3, got 4."),
        (
            "ChannelSELayer",
            {"spatial_dims": 2, "in_channels": 6, "r": 7},
            "reduction must be between 1 and channels (6)",
        ),
        ("ChannelSELayer", {"spatial_dims": 2, "in_channels": 6, "acti_type_1": "rely"}, "unknown activation 'rely'."),
        (
            "ChannelSELayer",
            {"spatial_dims": 2, "in_channels": 6, "acti_type_1": ["relu"]},
            "a layer is named by a word",
        ),
        ("SEBlock", {**BLOCK, "conv_param_1": {"kernel": 3}}, "unknown argument of Convolution 'kernel'."),
        ("SEBlock", {**BLOCK, "conv_param_1": {"kernel_size": 4}}, "no padding keeps the size for kernel_size 4"),
        ("SEBlock", {**BLOCK, "conv_param_1": {"norm": "bach"}}, "unknown normalisation 'bach'. Did you mean 'batch'?"),
        ("SEBlock", {**BLOCK, "conv_param_1": {"adn_ordering": "NX"}}, "adn_ordering may have the letters A, D and N"),
        ("SEBlock", {**BLOCK, "conv_param_1": {"dropout": "drop"}}, "unknown dropout 'drop'."),
    ],
)
def test_what_cannot_be_built_is_named(name, arguments, message):
    with pytest.raises(InputError) as error:
        from_reference(MONAI, name, arguments)
    assert message in str(error.value)
