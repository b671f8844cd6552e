import pytest
import torch

from saccade.attention import SqueezeExcitation, record

SPACES = [(7,), (7, 11), (7, 11, 13)]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_output_is_input_times_the_recorded_gate_which_ignores_where_things_are(space):
    layer, x = SqueezeExcitation(6, reduction=2), torch.randn(5, 6, *space)
    with record(layer) as maps:
        y = layer(x)
    shuffled = x.flatten(2)[:, :, torch.randperm(x[0, 0].numel())].reshape_as(x)
    torch.testing.assert_close(layer.gate(shuffled), maps["map"].tensor)
    assert maps["map"].grid is None
    for b, c in [(0, 0), (4, 5), (3, 1)]:
        torch.testing.assert_close(y[b, c], x[b, c] * maps["map"].tensor[b, c])


def test_hand_worked_value():
    layer = SqueezeExcitation(2, reduction=2)
    state = {
        "shrink.weight": torch.tensor([[1.0, 2.0]]),
        "shrink.bias": torch.tensor([-1.0]),
        "grow.weight": torch.tensor([[1.0], [-1.0]]),
        "grow.bias": torch.tensor([0.5, 0.0]),
    }
    layer.load_state_dict(state)
    x = torch.tensor([[[1.0, 3.0], [0.0, 1.0]]])  # means 2, 0.5 -> hidden 2 + 1 - 1 = 2 -> logits 2.5, -2
    torch.testing.assert_close(layer.gate(x), torch.tensor([[2.5, -2.0]]).sigmoid())


def test_biases_can_be_left_out():
    assert [name for name, _ in SqueezeExcitation(4, reduction=2, bias=False).named_parameters()] == [
        "shrink.weight",
        "grow.weight",
    ]


def test_a_slab_one_voxel_thick_equals_the_image():
    layer, image = SqueezeExcitation(6, reduction=2), torch.randn(2, 6, 7, 11)
    torch.testing.assert_close(layer(image[:, :, None])[:, :, 0], layer(image))


def test_gradient():
    layer = SqueezeExcitation(3, reduction=1).double()
    assert torch.autograd.gradcheck(layer, torch.randn(2, 3, 2, 2, dtype=torch.double, requires_grad=True))


@pytest.mark.parametrize("reduction", [0, 7])
def test_bad_reduction_names_itself_its_limit_and_what_it_got(reduction):
    with pytest.raises(ValueError, match=rf"reduction must be between 1 and channels \(6\), got {reduction}\."):
        SqueezeExcitation(6, reduction=reduction)
