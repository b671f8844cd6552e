import pytest
import torch
from torch import nn

from saccade.attention import AttentionGate, MultiAttentionGate, SameGridGate, record

SPACES = [(11,), (7, 11), (5, 7, 11)]


def randomised(module):
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return module.eval()


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("variant", ["sigmoid", "softplus", "softmax"])
def test_output_is_the_transform_of_input_times_the_recorded_map(space, variant):
    gate = randomised(AttentionGate(6, 4, spatial_dims=len(space), variant=variant))
    x, g = torch.randn(3, 6, *space), torch.randn(3, 4, *[n // 3 for n in space])
    with record(gate) as maps:
        y = gate(x, g)
    alpha = maps["map"].tensor
    assert alpha.shape == (3, 1, *space)
    assert maps["map"].grid == space
    torch.testing.assert_close(alpha, gate.coefficients(x, g))
    torch.testing.assert_close(y, gate.transform(x * alpha))


def test_hand_worked_value():
    gate = AttentionGate(1, 1, spatial_dims=1, transform=nn.Identity)
    gate.load_state_dict(
        {
            "theta.weight": torch.tensor([[[1.0, 2.0]]]),
            "phi.weight": torch.tensor([[[3.0]]]),
            "phi.bias": torch.tensor([-1.0]),
            "psi.weight": torch.tensor([[[0.5]]]),
            "psi.bias": torch.tensor([-1.0]),
        }
    )
    # theta(x) = 1 * 2 + 2 * 1 = 4; phi(g) = 3 - 1 = 2; relu(6) = 6; psi = 3 - 1 = 2: both voxels times sigmoid(2).
    y = gate(torch.tensor([[[2.0, 1.0]]]), torch.tensor([[[1.0]]]))
    torch.testing.assert_close(y, torch.tensor([[[2.0, 1.0]]]) * torch.tensor(2.0).sigmoid())


def test_softmax_sums_to_one_over_all_positions():
    gate = randomised(AttentionGate(4, 3, spatial_dims=2, variant="softmax", subsample=1))
    alpha = gate.coefficients(torch.randn(2, 4, 5, 7), torch.randn(2, 3, 3, 2))
    torch.testing.assert_close(alpha.flatten(1).sum(1), torch.ones(2))


def test_softplus_takes_the_place_of_relu():
    gates = [AttentionGate(2, 2, spatial_dims=1, subsample=1, variant=v) for v in ("sigmoid", "softplus")]
    gates[1].load_state_dict(randomised(gates[0]).state_dict())
    x, g = torch.randn(1, 2, 7), torch.randn(1, 2, 7)
    inner = gates[0].theta(x) + gates[0].phi(g)
    for gate, nonlinear in zip(gates, (torch.relu, nn.functional.softplus), strict=True):
        torch.testing.assert_close(gate.coefficients(x, g), torch.sigmoid(gate.psi(nonlinear(inner))))


def test_batch_norm_transform_follows_and_can_be_left_out():
    assert isinstance(AttentionGate(4, 3, spatial_dims=2).transform[1], nn.BatchNorm2d)
    gate = AttentionGate(4, 3, spatial_dims=2, transform=nn.Identity)
    x, g = torch.randn(1, 4, 6, 10), torch.randn(1, 3, 3, 5)
    torch.testing.assert_close(gate(x, g), x * gate.coefficients(x, g))


def test_inner_channels_and_subsample_shape_theta():
    gate = AttentionGate(8, 3, inner_channels=5, subsample=(2, 3, 1))
    assert tuple(gate.theta.weight.shape) == (5, 8, 2, 3, 1)
    assert gate.theta.stride == (2, 3, 1)
    assert AttentionGate(9, 3).theta.out_channels == 4
    assert AttentionGate(1, 3).theta.out_channels == 1


def test_align_corners_changes_the_map():
    gates = [AttentionGate(2, 2, spatial_dims=1, align_corners=corners) for corners in (False, True)]
    gates[1].load_state_dict(randomised(gates[0]).state_dict())
    x, g = torch.randn(1, 2, 12), torch.randn(1, 2, 3)
    assert (gates[0].coefficients(x, g) - gates[1].coefficients(x, g)).abs().max() > 1e-3


def test_a_slab_equals_the_image():
    image = randomised(AttentionGate(3, 2, spatial_dims=2))
    slab = AttentionGate(3, 2, spatial_dims=3, subsample=(1, 2, 2)).eval()
    state = image.state_dict()
    slab.load_state_dict({k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in state.items()})
    x, g = torch.randn(2, 3, 7, 11), torch.randn(2, 2, 3, 5)
    torch.testing.assert_close(slab(x[:, :, None], g[:, :, None])[:, :, 0], image(x, g))


def test_a_batch_equals_its_items_one_by_one():
    gate = randomised(MultiAttentionGate([AttentionGate(3, 2, spatial_dims=2) for _ in range(2)], spatial_dims=2))
    x, g = torch.randn(3, 3, 7, 11), torch.randn(3, 2, 3, 5)
    torch.testing.assert_close(gate(x, g), torch.cat([gate(x[i : i + 1], g[i : i + 1]) for i in range(3)]))


@pytest.mark.parametrize("space", [(1,), (1, 1), (1, 5, 1)], ids=str)
def test_axes_shorter_than_the_subsampling_are_taken(space):
    gate = randomised(AttentionGate(3, 2, spatial_dims=len(space)))
    x = torch.randn(2, 3, *space)
    assert gate(x, torch.randn(2, 2, *space)).shape == x.shape


def test_gradient():
    gate = randomised(AttentionGate(2, 2, spatial_dims=2, variant="softplus")).double()
    x, g = torch.randn(1, 2, 4, 3, dtype=torch.double), torch.randn(1, 2, 2, 1, dtype=torch.double)
    assert torch.autograd.gradcheck(gate, (x.requires_grad_(), g.requires_grad_()))


def test_several_gates_combine_and_show_each_map():
    gates = [AttentionGate(4, 3, spatial_dims=2) for _ in range(2)]
    both = randomised(MultiAttentionGate(gates, spatial_dims=2))
    x, g = torch.randn(2, 4, 7, 11), torch.randn(2, 3, 3, 5)
    with record(both) as maps:
        y, alpha = both.attend(x, g)
    torch.testing.assert_close(both(x, g), y)
    torch.testing.assert_close(both.combine(torch.cat([gate(x, g) for gate in gates], 1)), y)
    seen = torch.cat([maps["gates.0.map"].tensor, maps["gates.1.map"].tensor], 1)
    torch.testing.assert_close(seen, alpha)
    torch.testing.assert_close(both.coefficients(x, g), alpha)
    assert (alpha[:, 0] - alpha[:, 1]).abs().max() > 1e-3


def test_norm_of_the_combination_can_be_chosen():
    gates = [AttentionGate(4, 3, spatial_dims=2)]
    assert isinstance(MultiAttentionGate(gates, spatial_dims=2, norm="instance").combine.norm, nn.InstanceNorm2d)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"variant": "sigmod"},
            r"AttentionGate: unknown variant 'sigmod'\. Did you mean 'sigmoid'\? Known: sigmoid, so",
        ),
        ({"spatial_dims": 4}, r"AttentionGate: spatial_dims must be 1, 2 or 3, got 4\."),
        ({"inner_channels": 0}, r"AttentionGate: inner_channels must be at least 1, got 0\."),
        (
            {"subsample": (2, 2)},
            r"AttentionGate: subsample must be a whole number of at least 1, or 3 of them, got \(2, ",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttentionGate(8, 4, **arguments)


def test_gates_of_different_widths_cannot_be_combined():
    with pytest.raises(
        ValueError, match=r"MultiAttentionGate: gates must be one or more of the same in_channels, got \[3, 4\]"
    ):
        MultiAttentionGate([AttentionGate(3, 2), AttentionGate(4, 2)])


def test_the_same_grid_gate_multiplies_by_its_map():
    gate = randomised(SameGridGate(4, 3, inner_channels=5, spatial_dims=2))
    assert gate.from_signal[0].out_channels == 5
    x, g = torch.randn(2, 4, 7, 11), torch.randn(2, 3, 7, 11)
    with record(gate) as maps:
        y = gate(x, g)
    torch.testing.assert_close(y, x * maps["map"].tensor)
    torch.testing.assert_close(maps["map"].tensor, gate.coefficients(x, g))
    slab = SameGridGate(4, 3, inner_channels=5, spatial_dims=3).eval()
    slab.load_state_dict({k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in gate.state_dict().items()})
    torch.testing.assert_close(slab(x[:, :, None], g[:, :, None])[:, :, 0], y)
