import pytest
import torch
from torch import nn

from saccade.attention import ProjectExcitation, record


def seen(layer, x):
    """What the excitation is computed from."""
    found = []
    layer.shrink.register_forward_hook(lambda module, args, output: found.append(args[0]))
    layer(x)
    return found[0].expand_as(x)


def test_profiles_of_an_image_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [5.0, 8.0]]]])  # rows 1.5, 6.5; columns 3, 5
    wanted = torch.tensor([[[[4.5, 6.5], [9.5, 11.5]]]])
    torch.testing.assert_close(seen(ProjectExcitation(1, reduction=1), x), wanted)


def test_profiles_of_a_volume_by_hand():
    x = torch.arange(8.0).reshape(1, 1, 2, 2, 2)  # slices 1.5, 5.5; rows 2.5, 4.5; columns 3, 4
    found = seen(ProjectExcitation(1, reduction=1), x)
    assert found[0, 0, 0, 0, 0] == 1.5 + 2.5 + 3
    assert found[0, 0, 1, 0, 1] == 5.5 + 2.5 + 4


def test_a_signal_is_its_own_profile():
    x = torch.randn(2, 3, 7)
    assert torch.equal(seen(ProjectExcitation(3), x), x)


@pytest.mark.parametrize("space", [(7,), (5, 7), (5, 7, 3)], ids=str)
def test_output_is_the_input_times_the_recorded_map(space):
    layer, x = ProjectExcitation(4), torch.randn(2, 4, *space)
    with record(layer) as maps:
        y = layer(x)
    z = seen(layer, x).flatten(2)
    hidden = torch.einsum("oc,bcn->bon", layer.shrink.weight, z) + layer.shrink.bias[:, None]
    scores = torch.einsum("oc,bcn->bon", layer.grow.weight, hidden.relu()) + layer.grow.bias[:, None]
    torch.testing.assert_close(maps["map"].tensor, scores.sigmoid().reshape_as(x))
    torch.testing.assert_close(y, x * maps["map"].tensor)


def test_zero_weights_halve():
    layer, x = ProjectExcitation(4), torch.randn(2, 4, 5, 7, 3)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(x), x / 2)
