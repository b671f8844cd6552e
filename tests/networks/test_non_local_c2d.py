import pytest
import torch
from torch import nn

from saccade import record
from saccade.attention import NonLocal
from saccade.networks import NonLocalC2D, ResNet, put_between

SMALL = {"channels": (4, 6, 8), "blocks": (1, 2, 4), "bottleneck": False}


def awake(network):
    """The blocks, which start as the identity, do something; normalisation has statistics of its own."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("bn1.running_var", "bn2.running_var", "transform.1.weight", "transform.1.running_var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return network.eval()


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_a_video_of_one_frame_is_an_image(stem):
    video = awake(NonLocalC2D(2, 3, stem=stem, behind={2: [0]}, **SMALL))
    image = put_between(
        ResNet(2, 3, stem=stem, **SMALL), lambda c: NonLocal(c, subsample=True, spatial_dims=2), {2: [0]}
    )
    state = {key: value.squeeze(2) if value.ndim == 5 else value for key, value in video.state_dict().items()}
    image.load_state_dict(state)
    x = torch.randn(2, 2, 37, 33)
    torch.testing.assert_close(video(x[:, :, None]), image.eval()(x))


def test_without_blocks_frames_do_not_meet_before_the_mean():
    network = awake(NonLocalC2D(1, 3, stem="small", behind={}, **SMALL))
    x = torch.randn(2, 1, 3, 9, 11)
    each = torch.stack([network(x[:, :, [i]]) for i in range(3)]).mean(0)
    torch.testing.assert_close(network(x), each)


def test_with_blocks_frames_meet():
    network = awake(NonLocalC2D(1, 3, stem="small", behind={2: [0]}, **SMALL))
    x = torch.randn(1, 1, 3, 9, 11)
    y = network.levels(x)[1][:, :, 0]
    far = x.clone()
    far[:, :, 2] += torch.randn(9, 11)
    assert (network.levels(far)[1][:, :, 0] - y).abs().max() > 1e-3


def test_the_grids_of_the_paper():
    network = NonLocalC2D(3, 2, channels=(2, 2, 2, 2), blocks=(1, 1, 1, 1)).eval()
    shapes = [tuple(y.shape[1:]) for y in network.levels(torch.randn(1, 3, 32, 64, 64))]
    # 32 frames of 224 positions are 8 x 56 x 56 behind the first pooling, then 4 frames (table 1): here 64 positions.
    assert shapes == [(8, 8, 16, 16), (8, 4, 8, 8), (8, 4, 4, 4), (8, 4, 2, 2)]
    small = NonLocalC2D(3, 2, stem="small", **SMALL).eval()
    shapes = [tuple(y.shape[1:]) for y in small.levels(torch.randn(1, 3, 5, 16, 12))]
    assert shapes == [(4, 5, 16, 12), (6, 5, 8, 6), (8, 5, 4, 3)]


def test_five_blocks_of_resnet_50_every_other():
    with torch.device("meta"):
        network = NonLocalC2D(3, 400)
    blocks = [name for name, module in network.named_modules() if isinstance(module, NonLocal)]
    assert blocks == ["layer2.1_attention", "layer2.3_attention"] + [f"layer3.{i}_attention" for i in (1, 3, 5)]
    assert network.get_submodule("layer3.1_attention").g.in_channels == 1024


def test_rows_of_a_position_reach_over_all_frames_on_a_coarser_grid():
    network = NonLocalC2D(1, 3, stem="small", behind={2: [1]}, **SMALL).eval()
    x = torch.randn(1, 1, 5, 16, 12)
    with record(network, queries=[(2, 3, 4)]) as seen:
        network(x)
    found = seen["layer2.1_attention.map"]
    assert (found.grid, found.key_grid) == ((5, 8, 6), (5, 4, 3))
    assert found.tensor.shape == (1, 1, 1, 60)
    torch.testing.assert_close(found.tensor.sum(), torch.tensor(1.0))


def test_the_form_of_the_blocks():
    network = NonLocalC2D(1, 3, pairwise="dot_product", **SMALL)
    assert type(network.get_submodule("layer2.1_attention").pairwise).__name__ == "DotProduct"


def test_bottlenecks_are_wide_and_convolutions_flat():
    network = NonLocalC2D(1, 3, channels=(2, 3), blocks=(1, 1))
    assert network.fc.in_features == 12
    kernels = {m.kernel_size for m in network.modules() if isinstance(m, nn.Conv3d)}
    assert kernels == {(1, 7, 7), (1, 3, 3), (1, 1, 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (4,)}, r"^NonLocalC2D: channels and blocks must name the same stages, got 1 and 4\.$"),
        ({"blocks": (1, 0, 1, 1)}, r"^NonLocalC2D: blocks must be at least 1, got 1, 0, 1, 1\.$"),
        ({"stem": "large"}, r"^NonLocalC2D: unknown stem 'large'\..* Known: imagenet, small\.$"),
        ({"channels": (4, 4), "blocks": (1, 2), "pairwise": "dot"}, r"^NonLocal: unknown pairwise 'dot'\."),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NonLocalC2D(1, 2, **arguments)
