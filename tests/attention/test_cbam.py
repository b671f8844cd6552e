import pytest
import torch

from saccade.attention import CBAM, record
from saccade.attention.cbam import ChannelGate, SpatialGate


def linear(gate, shrink, shrink_bias, grow, grow_bias):
    gate.load_state_dict(
        {
            "shrink.weight": torch.tensor(shrink),
            "shrink.bias": torch.tensor(shrink_bias),
            "grow.weight": torch.tensor(grow),
            "grow.bias": torch.tensor(grow_bias),
        }
    )


def test_channel_gate_worked_by_hand():
    gate = ChannelGate(2, reduction=2)
    linear(gate, [[1.0, 2.0]], [-1.0], [[1.0], [-1.0]], [0.5, 0.0])
    x = torch.tensor([[[1.0, 3.0], [0.0, 1.0]]])
    # means 2, 0.5 -> hidden 2 + 1 - 1 = 2 -> 2.5, -2; maxima 3, 1 -> hidden 3 + 2 - 1 = 4 -> 4.5, -4; sums 7, -6
    torch.testing.assert_close(gate.gate(x), torch.tensor([[7.0, -6.0]]).sigmoid())


@pytest.mark.parametrize(
    ("pool", "pooled"),
    [("average", 2.0), ("max", 3.0), ("lp", 10.0**0.5), ("lse", 3.1269280110)],  # lse: log(e^1 + e^3)
)
def test_every_pool_by_hand(pool, pooled):
    gate = ChannelGate(1, reduction=1, pools=[pool])
    linear(gate, [[1.0]], [0.0], [[1.0]], [0.0])
    torch.testing.assert_close(gate.gate(torch.tensor([[[1.0, 3.0]]])), torch.tensor([[pooled]]).sigmoid())


def test_spatial_gate_worked_by_hand():
    gate = SpatialGate(kernel_size=3, spatial_dims=1, batch_norm=False)
    gate.load_state_dict({"conv.weight": torch.tensor([[[1.0, 10.0, 100.0], [0.0, 2.0, 0.0]]])})
    x = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])  # maxima 3, 2; means 2, 1
    # position 0: 10 * 3 + 100 * 2 + 2 * 2; position 1: 1 * 3 + 10 * 2 + 2 * 1
    torch.testing.assert_close(gate.conv(torch.tensor([[[3.0, 2.0], [2.0, 1.0]]])), torch.tensor([[[234.0, 25.0]]]))
    x = x / 100
    torch.testing.assert_close(gate.gate(x), torch.tensor([[[2.34, 0.25]]]).sigmoid())


@pytest.mark.parametrize("space", [(11,), (7, 11), (5, 7, 3)], ids=str)
def test_the_spatial_part_sees_what_the_channel_part_gives(space):
    layer, x = CBAM(6, reduction=2, spatial_dims=len(space)).eval(), torch.randn(2, 6, *space)
    with record(layer) as maps:
        y = layer(x)
    weighted = x * maps["channel.map"].tensor.reshape(2, 6, *[1] * len(space))
    torch.testing.assert_close(maps["spatial.map"].tensor, layer.spatial.gate(weighted))
    torch.testing.assert_close(y, weighted * maps["spatial.map"].tensor)


def test_zero_weights_quarter():
    layer, x = CBAM(6, reduction=2).eval(), torch.randn(2, 6, 7, 11)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(x), x / 4)


def test_number_of_weights():
    # 2 C^2 / r + C / r + C, 7 * 7 * 2 of the convolution, 2 of batch norm
    assert sum(p.numel() for p in CBAM(32).parameters()) == 2 * 32 * 2 + 2 + 32 + 98 + 2


def test_running_statistics_move_as_slowly_as_in_the_released_code():
    layer = CBAM(6, reduction=2)
    layer(torch.randn(2, 6, 7, 11) + 5)
    assert layer.spatial.norm.momentum == 0.01
    assert layer.spatial.norm.num_batches_tracked == 1
