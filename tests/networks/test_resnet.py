import pytest
import torch
from monai.networks.nets.resnet import ResNet as MonaiResNet
from torch import nn

from saccade import record
from saccade.attention import CBAM, SCA, EfficientChannelAttention, SqueezeExcitation
from saccade.networks import ResNet

SPACES = {1: (67,), 2: (67, 43), 3: (37, 23, 19)}
SMALL = {"channels": (4, 8, 12), "blocks": (2, 1, 2)}


def randomised(network):
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif name.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator))
    return network


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_equals_the_resnet_of_monai_in_eval_and_training(dims, bottleneck):
    blocks, channels = [1, 2, 1, 2], [4, 8, 12, 16]
    theirs = MonaiResNet(
        "bottleneck" if bottleneck else "basic",
        blocks,
        channels,
        spatial_dims=dims,
        n_input_channels=2,
        conv1_t_stride=2,
        num_classes=5,
        bias_downsample=False,
    )
    ours = ResNet(2, 5, spatial_dims=dims, channels=channels, blocks=blocks, bottleneck=bottleneck)
    ours.load_state_dict(randomised(theirs).state_dict())
    for mode in (False, True):
        found = []
        for network in (ours, theirs):
            x = torch.randn(3, 2, *SPACES[dims], generator=torch.Generator().manual_seed(1), requires_grad=True)
            y = network.train(mode)(x)
            y.square().sum().backward()
            found.append((y, x.grad, network.conv1.weight.grad, network.bn1.running_mean))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "millions"),
    [
        ((2, 2, 2, 2), False, 11.69),
        ((3, 4, 6, 3), False, 21.80),
        ((3, 4, 6, 3), True, 25.56),
        ((3, 4, 23, 3), True, 44.55),
    ],
)
def test_the_published_depths_have_the_published_parameters(blocks, bottleneck, millions):
    with torch.device("meta"):
        network = ResNet(3, 1000, blocks=blocks, bottleneck=bottleneck)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_squeeze_and_excitation_of_resnet_50_adds_what_the_paper_counts():
    with torch.device("meta"):
        network = ResNet(
            3, 1000, blocks=(3, 4, 6, 3), bottleneck=True, attention=lambda c: SqueezeExcitation(c, bias=False)
        )
    added = [p.numel() for name, p in network.named_parameters() if ".attention." in name]
    assert sum(added) == 2_514_944


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_any_size_down_to_one_pixel_is_taken_and_items_do_not_see_each_other(dims):
    network = randomised(ResNet(2, 3, spatial_dims=dims, **SMALL)).eval()
    for space in (SPACES[dims], (1,) * dims):
        x = torch.randn(3, 2, *space)
        each = torch.cat([network(item) for item in x.split(1)])
        torch.testing.assert_close(network(x), each)
        assert each.shape == (3, 3)


def test_an_image_is_a_volume_of_one_slice():
    flat = randomised(ResNet(1, 3, **SMALL)).eval()
    deep = ResNet(1, 3, spatial_dims=3, **SMALL).eval()
    state = flat.state_dict()
    for name, value in deep.state_dict().items():
        if value.ndim == 5:  # zero padding leaves the middle slice of a kernel
            value.zero_()[:, :, value.shape[2] // 2] = state[name]
        else:
            value.copy_(state[name])
    x = torch.randn(2, 1, 41, 37)
    torch.testing.assert_close(deep(x[:, :, None]), flat(x))


def test_grids_of_the_stages_and_the_two_stems():
    x = torch.randn(1, 3, 64, 40)
    assert [tuple(y.shape[1:]) for y in ResNet(3, 2, **SMALL).levels(x)] == [(4, 16, 10), (8, 8, 5), (12, 4, 3)]
    small = ResNet(3, 2, stem="small", **SMALL)
    assert [tuple(y.shape[1:]) for y in small.levels(x)] == [(4, 64, 40), (8, 32, 20), (12, 16, 10)]
    wide = ResNet(3, 2, bottleneck=True, **SMALL)
    assert [y.shape[1] for y in wide.levels(x)] == [16, 32, 48]
    assert [len(wide.get_submodule(f"layer{i}")) for i in (1, 2, 3)] == [2, 1, 2]
    assert wide.fc.weight.shape == (2, 48)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize(
    ("make", "maps"),
    [
        (lambda c: SqueezeExcitation(c, reduction=4), ["map"]),
        (lambda c: CBAM(c, reduction=4), ["channel.map", "spatial.map"]),
        (EfficientChannelAttention, ["map"]),
        (lambda c: SCA(c, inner_channels=4), ["channel_map", "spatial_map"]),
    ],
)
def test_attention_stands_on_the_branch_and_its_maps_are_seen(make, maps, bottleneck):
    network = ResNet(1, 3, bottleneck=bottleneck, attention=make, **SMALL).eval()
    x = torch.randn(2, 1, 33, 29)
    with record(network) as seen:
        network(x)
    places = [f"layer{stage}.{i}.attention" for stage, count in ((1, 2), (2, 1), (3, 2)) for i in range(count)]
    assert list(seen) == [f"{place}.{name}" for place in places for name in maps]
    block = network.layer1[0]
    z = torch.randn(2, 4, 9, 7)
    wanted = torch.relu(block.attention(block.branch(z)) + block.downsample(z))
    torch.testing.assert_close(block(z), wanted)


def test_attention_that_closes_leaves_the_shortcut_alone():
    class Closed(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.channels = channels

        def forward(self, x):
            assert x.shape[1] == self.channels
            return 0 * x

    block = ResNet(1, 2, attention=Closed, **SMALL).layer1[1]
    x = torch.randn(2, 4, 6, 5)
    torch.testing.assert_close(block(x), x.relu())


def test_attention_keeps_the_start_of_its_own_paper():
    torch.manual_seed(0)
    conv = ResNet(1, 2, channels=(64,), blocks=(1,), attention=CBAM).layer1[0].attention.spatial.conv
    bound = (2 * 7 * 7) ** -0.5  # PyTorch's own start is uniform below this; He's normal exceeds it
    assert conv.weight.abs().max() <= bound
    stem = ResNet(1, 2).conv1.weight
    assert stem.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 4}, r"^ResNet: spatial_dims must be 1, 2 or 3, got 4\.$"),
        ({"channels": (4, 0)}, r"^ResNet: channels must be at least 1, got 4, 0\.$"),
        ({"blocks": (1, 0, 1, 1)}, r"^ResNet: blocks must be at least 1, got 1, 0, 1, 1\.$"),
        ({"channels": (), "blocks": ()}, r"^ResNet: channels must be at least 1, got none\.$"),
        ({"blocks": (1,)}, r"^ResNet: channels and blocks must name the same stages, got 4 and 1\.$"),
        ({"stem": "smal"}, r"^ResNet: unknown stem 'smal'\. Did you mean 'small'\? Known: imagenet, small\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet(1, 2, **arguments)
