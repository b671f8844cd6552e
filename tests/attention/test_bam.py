import pytest
import torch
from torch import nn

from saccade.attention import BAM, record

SPACES = [(11,), (7, 11), (5, 7, 3)]


def randomised(module):
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return module.eval()


@pytest.mark.parametrize("combine", ["sum", "product"])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_output_is_the_input_and_a_copy_gated_by_both_branches(space, combine):
    layer = randomised(BAM(6, reduction=2, dilation=2, spatial_dims=len(space), combine=combine))
    x = torch.randn(3, 6, *space)
    with record(layer) as maps:
        y = layer(x)
    channel = layer.channel(x).reshape(3, 6, *[1] * len(space))
    scores = channel + layer.spatial(x) if combine == "sum" else channel * layer.spatial(x)
    assert scores.shape == x.shape
    torch.testing.assert_close(maps["map"].tensor, scores.sigmoid())
    torch.testing.assert_close(y, x + x * scores.sigmoid())


def test_branches_by_hand():
    layer = randomised(BAM(2, reduction=2, dilation=1, convolutions=1, spatial_dims=1))
    state = layer.state_dict()
    x = torch.tensor([[[1.0, 3.0, 5.0], [2.0, 0.0, 1.0]]])  # means 3, 1

    def norm(y, name):  # fresh statistics: mean 0, variance 1
        return y / (1 + 1e-5) ** 0.5 * state[f"{name}.weight"] + state[f"{name}.bias"]

    hidden = norm(state["channel.0.weight"] @ torch.tensor([3.0, 1.0]) + state["channel.0.bias"], "channel.1").relu()
    wanted = norm(state["channel.3.weight"] @ hidden + state["channel.3.bias"], "channel.4")
    torch.testing.assert_close(layer.channel(x), wanted[None])
    row = norm((state["spatial.0.weight"][0, :, 0] @ x[0]) + state["spatial.0.bias"], "spatial.1").relu()
    left, here, right = state["spatial.3.weight"][0, 0]
    seen = torch.stack(
        [here * row[0] + right * row[1], left * row[0] + here * row[1] + right * row[2], left * row[1] + here * row[2]]
    )
    seen = norm(seen + state["spatial.3.bias"], "spatial.4").relu()
    wanted = norm(seen * state["spatial.6.weight"].squeeze() + state["spatial.6.bias"], "spatial.7")
    torch.testing.assert_close(layer.spatial(x)[0, 0], wanted)


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_zero_weights_give_one_and_a_half(combine):
    layer, x = BAM(6, reduction=2, combine=combine).eval(), torch.randn(2, 6, 7, 11)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(x), 1.5 * x)


def test_layers_are_counted():
    layer = BAM(6, reduction=2, layers=2, convolutions=3, final_norm=False)
    assert [m.out_features for m in layer.channel if isinstance(m, nn.Linear)] == [3, 3, 6]
    assert [m.dilation[0] for m in layer.spatial if isinstance(m, nn.Conv2d)] == [1, 4, 4, 4, 1]
    assert isinstance(layer.channel[-1], nn.Linear)
    assert isinstance(layer.spatial[-1], nn.Conv2d)
