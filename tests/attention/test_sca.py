import pytest
import torch

from saccade.attention import SCA, record
from saccade.errors import InputError

SPACES = [(11,), (7, 11), (5, 7, 3)]


def randomised(layer):
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return layer


def by_channel(layer, x, h):
    """Equations 4 to 6, one channel after the other."""
    p, scores = layer.channel, []
    for c in range(x.shape[1]):
        inner = x[:, c].flatten(1).mean(1)[:, None] * p.weight[0] + p.bias
        scores.append(torch.tanh(inner + h @ p.hidden_weight) @ p.out_weight[:, 0] + p.out_bias)
    return torch.stack(scores, 1).softmax(1)


def by_position(layer, x, h):
    """Equations 2 and 3, one position after the other."""
    p, scores = layer.spatial, []
    for n in range(x[0, 0].numel()):
        inner = torch.tanh(x.flatten(2)[:, :, n] @ p.weight + p.bias + h @ p.hidden_weight)
        scores.append(inner @ p.out_weight[:, 0] + p.out_bias)
    return torch.stack(scores, 1).softmax(1).reshape(len(x), 1, *x.shape[2:])


@pytest.mark.parametrize("order", ["channel-spatial", "spatial-channel"])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_second_attention_sees_what_the_first_gives(space, order):
    layer = randomised(SCA(4, inner_channels=5, hidden_size=3, order=order))
    x, h = torch.randn(2, 4, *space), torch.randn(2, 3)
    with record(layer) as maps:
        y = layer(x, h)
    positions = x[0, 0].numel()
    if order == "channel-spatial":
        beta = by_channel(layer, x, h).reshape(2, 4, *[1] * len(space))
        alpha = by_position(layer, x * beta * 4, h)
    else:
        alpha = by_position(layer, x, h)
        beta = by_channel(layer, x * alpha * positions, h).reshape(2, 4, *[1] * len(space))
    torch.testing.assert_close(maps["spatial_map"].tensor, alpha)
    torch.testing.assert_close(maps["channel_map"].tensor, beta.flatten(1))
    torch.testing.assert_close(y, x * beta * alpha * 4 * positions)


def test_maps_sum_to_one():
    layer = randomised(SCA(4, inner_channels=5))
    with record(layer) as maps:
        layer(torch.randn(2, 4, 5, 7))
    for seen in maps.values():
        torch.testing.assert_close(seen.tensor.flatten(1).sum(1), torch.ones(2))


def test_uniform_attention_changes_nothing_when_rescaled_and_divides_when_not():
    x = torch.randn(2, 4, 5, 7)
    for rescale, factor in ((True, 1.0), (False, 1 / (4 * 35))):
        layer = SCA(4, inner_channels=5, rescale=rescale)
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        torch.testing.assert_close(layer(x), factor * x)


def test_the_state_steers_both_attentions():
    layer = randomised(SCA(4, inner_channels=5, hidden_size=3))
    x = torch.randn(1, 4, 5, 7)
    seen = []
    for h in (torch.zeros(1, 3), torch.ones(1, 3)):
        with record(layer) as maps:
            layer(x, h)
        seen.append(maps)
    for name in ("channel_map", "spatial_map"):
        assert (seen[0][name].tensor - seen[1][name].tensor).abs().max() > 1e-4


def test_a_zero_state_is_no_state():
    steered, plain = SCA(4, inner_channels=5, hidden_size=3), SCA(4, inner_channels=5)
    plain.load_state_dict({k: v for k, v in randomised(steered).state_dict().items() if "hidden" not in k})
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(steered(x, torch.zeros(2, 3)), plain(x))


@pytest.mark.parametrize(
    ("hidden_size", "state", "message"),
    [
        (3, None, "SCA: forward takes a state of length 3 beside the features, got none."),
        (None, torch.zeros(2, 3), "SCA: forward takes no state beside the features, got one of length 3."),
        (3, torch.zeros(2, 5), "SCA: forward takes a state of length 3 beside the features, got one of length 5."),
    ],
)
def test_a_state_is_given_when_it_is_wanted(hidden_size, state, message):
    with pytest.raises(InputError) as error:
        SCA(4, inner_channels=5, hidden_size=hidden_size)(torch.randn(2, 4, 5, 7), state)
    assert str(error.value) == message
