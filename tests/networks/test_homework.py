import pytest
import torch
from torch import nn

from saccade.networks import HomeworkUNet2D, HomeworkUNet3D


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_printed_numbers_of_parameters():
    with torch.device("meta"):
        assert count(HomeworkUNet2D()) == 31_030_658
        assert count(HomeworkUNet3D()) == 19_066_592
        assert count(HomeworkUNet3D(1, 2)) == 19_065_824


def test_layers_of_the_2d_network_are_those_printed():
    with torch.device("meta"):
        network = HomeworkUNet2D()
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    down = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 1024)]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    assert sorted((c.in_channels, c.out_channels) for c in convs) == sorted([*down, (1024, 1024), *up])
    assert {(m.in_channels, m.out_channels) for m in network.up} == {(1024, 512), (512, 256), (256, 128), (128, 64)}
    assert all(m.kernel_size == m.stride == (2, 2) for m in network.up)
    assert not any("Norm" in type(m).__name__ and "Conv" not in type(m).__name__ for m in network.modules())


def test_layers_of_the_3d_network_are_those_printed():
    with torch.device("meta"):
        network = HomeworkUNet3D(3, 14)
    encoder = [(m.in_channels, m.out_channels) for m in network.encoder.modules() if isinstance(m, nn.Conv3d)]
    assert encoder == [(3, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    ups = [(m.in_channels, m.out_channels) for m in network.up.modules() if isinstance(m, nn.ConvTranspose3d)]
    assert sorted(ups) == [(128, 128), (256, 256), (512, 512)]
    decoder = [m for m in network.decoder.modules() if isinstance(m, nn.ConvTranspose3d)]
    pairs = [(m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding) for m in decoder]
    want = [(64 + 128, 64), (64, 64), (128 + 256, 128), (128, 128), (256 + 512, 256), (256, 256)]
    assert pairs == [(*pair, (3, 3, 3), (1, 1, 1), (1, 1, 1)) for pair in want]
    assert (network.head.in_channels, network.head.out_channels, network.head.kernel_size) == (64, 14, (1, 1, 1))


def test_batch_norm_follows_every_convolution_of_the_encoder_alone():
    network = HomeworkUNet3D(1, 5, width=2, batch_norm=True)
    assert sum(isinstance(m, nn.BatchNorm3d) for m in network.encoder.modules()) == 8
    assert not any(isinstance(m, nn.BatchNorm3d) for m in [*network.decoder.modules(), *network.up.modules()])
    x = torch.randn(2, 1, 8, 8, 8)
    level = network.encoder[0](x)[:, :, 1:-1, 1:-1, 1:-1]
    torch.testing.assert_close(level, network.encoder[0](1000 * x)[:, :, 1:-1, 1:-1, 1:-1], rtol=1e-2, atol=1e-2)
    assert count(network) == count(HomeworkUNet3D(1, 5, width=2)) + 2 * (2 + 4 + 4 + 8 + 8 + 16 + 16 + 32)


@pytest.mark.parametrize("space", [(16, 32), (13, 11), (1, 1)], ids=str)
def test_the_2d_network_takes_any_size(space):
    assert HomeworkUNet2D(2, 3, width=2)(torch.randn(2, 2, *space)).shape == (2, 3, *space)


@pytest.mark.parametrize("space", [(8, 16, 8), (7, 11, 5), (1, 1, 1)], ids=str)
def test_the_3d_network_takes_any_size(space):
    assert HomeworkUNet3D(2, 3, width=2)(torch.randn(2, 2, *space)).shape == (2, 3, *space)


def test_the_final_relu_can_be_left_out_and_is_faithful_by_default():
    torch.manual_seed(0)
    network, x = HomeworkUNet3D(1, 5, width=2), torch.randn(1, 1, 8, 8, 8)
    faithful = network(x)
    assert faithful.min() == 0
    network.final_relu = False
    raw = HomeworkUNet3D(1, 5, width=2, final_relu=False)
    raw.load_state_dict(network.state_dict())
    assert raw(x).min() < 0
    torch.testing.assert_close(raw(x).relu(), faithful)


@pytest.mark.parametrize("cls", [HomeworkUNet2D, HomeworkUNet3D])
def test_a_batch_equals_its_items_and_two_runs_are_identical(cls):
    network = cls(1, 2, width=2)
    x = torch.randn(3, 1, 13, 11) if cls is HomeworkUNet2D else torch.randn(3, 1, 7, 13, 11)
    y = network(x)
    torch.testing.assert_close(y, torch.cat([network(x[i : i + 1]) for i in range(3)]))
    assert torch.equal(network(x), y)


@pytest.mark.parametrize("cls", [HomeworkUNet2D, HomeworkUNet3D])
def test_skips_reach_the_output(cls):
    torch.manual_seed(0)
    network = cls(1, 2, width=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # so that no ReLU stops what comes through
        for parameter in network.up.parameters():
            parameter.zero_()
    x = torch.rand(1, 1, *[16, 16, 8][: 2 if cls is HomeworkUNet2D else 3])
    assert (network(x) - network(torch.zeros_like(x))).abs().max() > 1e-6


def test_gradient():
    network = HomeworkUNet2D(1, 2, width=1).double()
    for parameter in network.parameters():
        parameter.data.abs_()  # no dead ReLU, no kink near
    x = torch.rand(1, 1, 16, 16, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(network, x, fast_mode=True)
