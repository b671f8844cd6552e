"""The normalisations of AG-SonoNet."""

import pytest
import torch
from torch import nn

from saccade.attention import AttentionGate


def gate(variant):
    """psi of one channel equal to x, so that the scores are the features."""
    module = AttentionGate(1, 1, spatial_dims=1, subsample=1, variant=variant, transform=nn.Identity)
    weights = {"theta.weight": 1.0, "phi.weight": 0.0, "phi.bias": 0.0, "psi.weight": 1.0, "psi.bias": 0.0}
    module.load_state_dict({key: torch.full_like(module.state_dict()[key], value) for key, value in weights.items()})
    return module


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("mean", [0.125, 0.25, 0.625]),  # 1, 2, 5 of 8
        ("mean_flow", [0.0, 0.2, 0.8]),  # 0, 1, 4 of 5
        ("range", [0.0, 0.25, 1.0]),  # 0, 1, 4 of 4
    ],
)
def test_hand_worked_values(variant, wanted):
    x = torch.tensor([[[1.0, 2.0, 5.0]]])
    torch.testing.assert_close(gate(variant).coefficients(x, torch.zeros(1, 1, 1))[0, 0], torch.tensor(wanted))


@pytest.mark.parametrize("variant", ["mean_flow", "range"])
def test_a_constant_score_gives_zero_rather_than_nan(variant):
    x = torch.full((1, 1, 3), 2.0, requires_grad=True)
    alpha = gate(variant).coefficients(x, torch.zeros(1, 1, 1))
    alpha.sum().backward()
    assert alpha.tolist() == [[[0.0, 0.0, 0.0]]]
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("variant", ["mean", "mean_flow", "softmax"])
def test_these_sum_to_one_over_positions(variant):
    torch.manual_seed(0)
    module = AttentionGate(4, 3, spatial_dims=2, subsample=1, variant=variant)
    alpha = module.coefficients(torch.randn(2, 4, 5, 7), torch.randn(2, 3, 3, 2))
    torch.testing.assert_close(alpha.flatten(1).sum(1), torch.ones(2))


@pytest.mark.parametrize("variant", ["mean_flow", "range"])
def test_the_bias_of_psi_has_no_effect(variant):
    module, x, g = gate(variant), torch.randn(2, 1, 11), torch.zeros(2, 1, 1)
    before = module.coefficients(x, g)
    nn.init.constant_(module.psi.bias, 3.0)
    torch.testing.assert_close(module.coefficients(x, g), before)
