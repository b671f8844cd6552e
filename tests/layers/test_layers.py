import pytest
import torch
from torch import nn

from saccade.layers import (
    ConvNormReLU,
    DoubleConv,
    LinearUpsample,
    TransposedUpsample,
    Upsampling,
    kaiming_initialise_,
    make_norm,
    resize,
)


def test_conv_norm_relu_is_these_three_in_this_order():
    block = ConvNormReLU(2, 3, spatial_dims=2, kernel_size=(3, 1), stride=(1, 2))
    x = torch.randn(4, 2, 7, 11)
    batch = nn.functional.conv2d(x, block.conv.weight, block.conv.bias, stride=(1, 2), padding=(1, 0))
    want = nn.functional.batch_norm(batch, None, None, training=True).relu()
    torch.testing.assert_close(block(x), want)


def test_padding_given_is_used():
    assert ConvNormReLU(1, 1, spatial_dims=2, kernel_size=3, padding=(0, 2))(torch.zeros(2, 1, 5, 7)).shape[2:] == (
        3,
        9,
    )


def test_padding_given_is_used_in_both_convolutions():
    assert DoubleConv(1, 1, spatial_dims=2, padding=(0, 2))(torch.zeros(2, 1, 5, 7)).shape[2:] == (1, 11)


def test_a_double_conv_takes_its_stride_in_the_first_convolution_alone():
    block = DoubleConv(2, 3, spatial_dims=2, stride=2, norm=None)
    x = torch.randn(1, 2, 7, 11)
    torch.testing.assert_close(block(x), block.second(block.first(x)))
    assert block(x).shape == (1, 3, 4, 6)
    assert (block.first.conv.stride, block.second.conv.stride) == ((2, 2), (1, 1))


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), (None, nn.Identity)],
)
def test_named_norms(norm, kind):
    assert type(make_norm(norm, 4, 2)) is kind


def test_a_norm_can_be_handed_in_and_instance_norm_learns():
    assert isinstance(make_norm(lambda channels: nn.GroupNorm(2, channels), 4, 3), nn.GroupNorm)
    assert make_norm("instance", 4, 1).weight.shape == (4,)


def test_an_unknown_norm_names_the_nearest():
    message = r"^make_norm: unknown normalisation 'batches'\. Did you mean 'batch'\? Known: batch, instance\.$"
    with pytest.raises(ValueError, match=message):
        make_norm("batches", 4, 2)


def test_linear_upsampling_equals_torchs_and_cuts_to_the_size():
    x = torch.randn(2, 3, 5, 7)
    for corners in (False, True):
        want = nn.functional.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=corners)
        got = LinearUpsample((2, 3), align_corners=corners)(x, (9, 20))
        torch.testing.assert_close(got, want[:, :, :9, :20])


def test_upsampled_voxels_stay_over_the_ones_they_were_pooled_from():
    # A ramp of voxel centres at 0, 1, ..., 8 pooled by 2 (means 0.5, 2.5, ...) and brought back keeps its inner values.
    ramp = torch.arange(9.0)[None, None]
    coarse = nn.functional.avg_pool1d(ramp, 2, ceil_mode=True, count_include_pad=False)
    back = LinearUpsample((2,))(coarse, (9,))
    torch.testing.assert_close(back[..., 1:7], ramp[..., 1:7])


@pytest.mark.parametrize("factor", [(1,), (2,), (3,), (2, 1, 3)], ids=str)
def test_transposed_upsampling_multiplies_the_size(factor):
    up = TransposedUpsample(2, 3, factor=factor, spatial_dims=len(factor))
    x = torch.randn(1, 2, *(5, 7, 11)[: len(factor)])
    full = [n * f for n, f in zip(x.shape[2:], factor, strict=True)]
    assert up.conv(x).shape == (1, 3, *full)
    assert up(x, [n - 1 for n in full]).shape == (1, 3, *[n - 1 for n in full])


def test_resize_leaves_a_map_of_the_right_size_alone():
    x = torch.randn(1, 2, 5)
    assert resize(x, (5,)) is x
    assert resize(x, (9,)).shape == (1, 2, 9)


def test_an_unknown_kind_of_upsampling_is_named():
    with pytest.raises(
        ValueError, match=r"^Upsampling: unknown kind 'liner'\. Did you mean 'linear'\? Known: linear, tr"
    ):
        Upsampling("liner")


def test_kaiming_start_has_the_variance_of_its_fan_in():
    torch.manual_seed(0)
    block = ConvNormReLU(32, 64, spatial_dims=2)
    kaiming_initialise_(block)
    assert block.conv.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
    assert block.norm.weight.std().item() == pytest.approx(0.02, rel=0.4)
