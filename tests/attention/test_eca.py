import pytest
import torch

from saccade.attention import EfficientChannelAttention
from saccade.attention.eca import adaptive_kernel_size


def test_kernel_sizes_of_the_paper():
    sizes = {16: 3, 32: 3, 64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    assert {channels: adaptive_kernel_size(channels) for channels in sizes} == sizes
    for channels, size in sizes.items():
        assert EfficientChannelAttention(channels).conv.weight.shape == (1, 1, size)


def test_gamma_and_offset_enter_the_size():
    assert adaptive_kernel_size(64, gamma=1.0) == 7  # 6 + 1
    assert adaptive_kernel_size(64, gamma=1.0, offset=3.0) == 9  # 6 + 3
    assert adaptive_kernel_size(64, gamma=1.0, offset=2.0) == 9  # 8, made odd


def test_shared_kernel_by_hand():
    layer = EfficientChannelAttention(3, kernel_size=3)
    layer.load_state_dict({"conv.weight": torch.tensor([[[1.0, 10.0, 100.0]]]) / 100})
    x = torch.tensor([[[1.0, 3.0], [0.0, 2.0], [4.0, 2.0]]])  # means 2, 1, 3
    wanted = torch.tensor([[120.0, 312.0, 31.0]]) / 100  # 20 + 100, 2 + 10 + 300, 1 + 30
    torch.testing.assert_close(layer.gate(x), wanted.sigmoid())
    torch.testing.assert_close(layer(x), x * wanted.sigmoid()[:, :, None])


def test_own_kernels_by_hand():
    layer = EfficientChannelAttention(3, kernel_size=3, shared=False)
    kernels = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0]]]) / 10
    layer.load_state_dict({"conv.weight": kernels})
    x = torch.tensor([[[2.0], [1.0], [3.0]]])
    # 2 * 2 + 3 * 1, 4 * 2 + 5 * 1 + 6 * 3, 7 * 1 + 8 * 3
    torch.testing.assert_close(layer.gate(x), torch.tensor([[0.7, 3.1, 3.1]]).sigmoid())


def test_a_kernel_that_is_one_in_the_middle_sees_each_channel_alone():
    layer, x = EfficientChannelAttention(7, kernel_size=5), torch.randn(2, 7, 5, 3)
    layer.load_state_dict({"conv.weight": torch.tensor([[[0.0, 0.0, 2.0, 0.0, 0.0]]])})
    torch.testing.assert_close(layer.gate(x), (2 * x.mean((2, 3))).sigmoid())


def test_equal_own_kernels_are_a_shared_one():
    one, own = EfficientChannelAttention(7, kernel_size=3), EfficientChannelAttention(7, kernel_size=3, shared=False)
    own.load_state_dict({"conv.weight": one.conv.weight.expand(7, 1, 3)})
    x = torch.randn(2, 7, 5, 3)
    torch.testing.assert_close(own(x), one(x))


@pytest.mark.parametrize("shared", [True, False])
def test_number_of_weights(shared):
    layer = EfficientChannelAttention(64, shared=shared)
    assert sum(p.numel() for p in layer.parameters()) == (3 if shared else 3 * 64)
