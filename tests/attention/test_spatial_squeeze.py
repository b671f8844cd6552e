import torch

from saccade.attention import SpatialSqueezeExcitation


def test_hand_worked_value():
    layer = SpatialSqueezeExcitation(2)
    layer.load_state_dict({"score.weight": torch.tensor([[1.0, -2.0]]), "score.bias": torch.tensor([0.5])})
    x = torch.tensor([[[1.0, 3.0], [2.0, 1.0]]])  # scores 1 - 4 + 0.5 = -2.5 and 3 - 2 + 0.5 = 1.5
    gate = torch.tensor([-2.5, 1.5]).sigmoid()
    torch.testing.assert_close(layer.gate(x), gate[None, None])
    torch.testing.assert_close(layer(x), x * gate)


def test_it_is_a_convolution_of_one_voxel():
    layer, x = SpatialSqueezeExcitation(3), torch.randn(2, 3, 5, 7, 11)
    scores = torch.nn.functional.conv3d(x, layer.score.weight[:, :, None, None, None], layer.score.bias)
    torch.testing.assert_close(layer(x), x * scores.sigmoid())


def test_moving_the_positions_moves_the_gate_with_them():
    layer, x = SpatialSqueezeExcitation(3), torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(layer.gate(x.roll((2, 3), (2, 3))), layer.gate(x).roll((2, 3), (2, 3)))


def test_zero_weights_halve():
    layer, x = SpatialSqueezeExcitation(3), torch.randn(2, 3, 5, 7)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(x), x / 2)


def test_it_has_one_weight_for_each_channel_and_a_bias():
    assert sum(p.numel() for p in SpatialSqueezeExcitation(8).parameters()) == 9  # C + 1
    assert sum(p.numel() for p in SpatialSqueezeExcitation(8, bias=False).parameters()) == 8
