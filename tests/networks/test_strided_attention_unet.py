import pytest
import torch
from monai.networks.nets import attentionunet as published

from saccade import from_reference, record
from saccade.networks import StridedAttentionUNet

MONAI = "Project-MONAI/MONAI"


@pytest.mark.parametrize(
    "arguments",
    [
        {"spatial_dims": 2, "in_channels": 2, "out_channels": 3, "channels": (4, 8, 16), "strides": (2, 2)},
        {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": (2, 4), "strides": (2,)},
        {"spatial_dims": 1, "in_channels": 1, "out_channels": 2, "channels": (2, 4, 6), "strides": (2, 3)},
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "channels": (2, 4, 6),
            "strides": (2, 2, 2, 2),
            "kernel_size": (3, 5),
            "up_kernel_size": 5,
            "dropout": 0.3,
        },
    ],
    ids=["2d", "two-levels", "1d", "all"],
)
@pytest.mark.parametrize("mode", [False, True], ids=["eval", "train"])
def test_equals_monai_for_other_arguments(arguments, mode):
    theirs = published.AttentionUnet(**arguments).train(mode)
    ours = from_reference(MONAI, "AttentionUnet", arguments, theirs.state_dict()).train(mode)
    x = torch.randn(2, arguments["in_channels"], *(24, 12, 12)[: arguments["spatial_dims"]])
    torch.manual_seed(0)
    want = theirs(x)
    torch.manual_seed(0)
    torch.testing.assert_close(ours(x), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ConvBlock", {"spatial_dims": 2, "in_channels": 3, "out_channels": 4, "kernel_size": 5, "strides": 2}),
        ("UpConv", {"spatial_dims": 2, "in_channels": 3, "out_channels": 4, "kernel_size": 5, "strides": 3}),
    ],
)
def test_equals_monais_blocks(name, arguments):
    theirs = getattr(published, name)(**arguments, dropout=0.2)
    ours = from_reference(MONAI, name, {**arguments, "dropout": 0.2}, theirs.state_dict())
    x = torch.randn(2, 3, 9, 7)
    torch.manual_seed(0)
    want = theirs(x)
    torch.manual_seed(0)
    torch.testing.assert_close(ours(x), want)


@pytest.mark.parametrize("space", [(13,), (13, 11), (13, 11, 7), (1, 5)], ids=str)
def test_any_input_size_is_taken(space):
    network = StridedAttentionUNet(1, 2, spatial_dims=len(space), channels=(2, 4, 6), strides=(2, 3)).eval()
    assert network(torch.randn(2, 1, *space)).shape == (2, 2, *space)


def test_maps_are_recorded_for_every_level():
    network = StridedAttentionUNet(1, 2, spatial_dims=2, channels=(2, 4, 6), strides=(2, 2)).eval()
    with record(network) as maps:
        network(torch.randn(2, 1, 12, 8))
    assert {name: seen.grid for name, seen in maps.items()} == {
        "decoder.1.gate.map": (6, 4),
        "decoder.0.gate.map": (12, 8),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"channels": (2, 4), "strides": (2, 2)},
            r"^StridedAttentionUNet: channels must be at least 2 and strides one fewer, got 2 and 2\.$",
        ),
        ({"kernel_size": 4}, r"^StridedAttentionUNet: kernel_size must be odd, got 4\.$"),
        ({"up_kernel_size": (3, 3, 2)}, r"^StridedAttentionUNet: up_kernel_size must be odd, got \(3, 3, 2\)\.$"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        StridedAttentionUNet(1, 2, **arguments)
