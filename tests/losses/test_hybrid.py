import pytest
import torch
from torch.nn import functional as F

from saccade.losses import hybrid_loss
from saccade.losses.hybrid import decision_loss


@pytest.mark.parametrize("weight", [1.0, 0.01])
def test_the_three_terms_by_hand(weight):
    scores = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    target = torch.tensor([0, 1])  # right, wrong: rewards 1 and 0
    logs = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    expected = torch.tensor([[0.5, 0.25], [0.5, 1.0]])
    # advantages 0.5, 0.75 and -0.5, -1: sums -0.5 - 1.5 = -2 and 1.5 + 4 = 5.5, mean 1.75, sign turned;
    # squares 0.25, 0.5625, 0.25, 1: mean 0.515625.
    want = F.cross_entropy(scores, target) - 1.75 * weight + 0.515625
    torch.testing.assert_close(hybrid_loss(scores, target, logs, expected, reward_weight=weight), want)


def test_the_policy_is_not_taught_by_the_baseline_nor_the_baseline_by_the_policy():
    scores, target = torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    logs, expected = torch.tensor([[-1.0]], requires_grad=True), torch.tensor([[0.25]], requires_grad=True)
    hybrid_loss(scores, target, logs, expected).backward()
    assert logs.grad.item() == -0.75  # -(R - b)
    assert expected.grad.item() == -1.5  # of (R - b)^2 alone


def test_a_single_glimpse_leaves_the_classes():
    scores, target, none = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.zeros(4, 0)
    torch.testing.assert_close(hybrid_loss(scores, target, none, none), F.cross_entropy(scores, target))


def test_decisions_are_judged_by_any_reward():
    logs, expected = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]), torch.tensor([[0.5, 0.25], [0.5, 1.0]])
    # rewards 2 and -1: advantages 1.5, 1.75 and -1.5, -2: sums -1.5 - 3.5 = -5 and 4.5 + 8 = 12.5, mean 3.75, turned;
    # squares 2.25, 3.0625, 2.25, 4: mean 2.890625
    judged = decision_loss(torch.tensor([2.0, -1.0]), logs, expected, reward_weight=0.5)
    torch.testing.assert_close(judged, torch.tensor(-0.5 * 3.75 + 2.890625))
