"""Losses of levels, labels and numbers: by hand, against torch, and what is unknown does not count."""

import torch
from torch.nn import functional as F

from saccade.losses.classification import multi_label_loss, ordinal_loss, regression_loss

NAN = float("nan")


def test_levels_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.25]])
    # level 1 is above 0 and not above 1; level 2 is above both
    sure = [-F.logsigmoid(torch.tensor(v)) for v in (2.0, 1.0, 0.5, 0.25)]
    expected = torch.stack([(sure[0] + sure[1]) / 2, (sure[2] + sure[3]) / 2])
    level = torch.tensor([1, 2])
    torch.testing.assert_close(ordinal_loss(logits, level), expected)
    weights = torch.tensor([1.0, 3.0, 0.5])
    torch.testing.assert_close(ordinal_loss(logits, level, weights=weights), expected * torch.tensor([3.0, 0.5]))
    smooth = ordinal_loss(logits, level, smoothing=0.2)
    by_hand = (F.binary_cross_entropy_with_logits(logits[1], torch.tensor([0.9, 0.9]))).item()
    assert abs(smooth[1].item() - by_hand) < 1e-6


def test_labels_that_nobody_knows_do_not_count() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0.0, 1.0, 1.0], [1.0, NAN, 0.0], [NAN, NAN, 1.0], [NAN, NAN, NAN]])
    found = multi_label_loss(logits, labels)
    full = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(0.0), reduction="none")
    expected = torch.stack([full[0].mean(), full[1, [0, 2]].mean(), full[2, 2], torch.tensor(0.0)])
    torch.testing.assert_close(found, expected)
    weighted = multi_label_loss(logits[:1], labels[:1], weights=torch.tensor([5.0, 2.0, 1.0]))
    torch.testing.assert_close(weighted, ((full[0, 0] + 2 * full[0, 1] + full[0, 2]) / 3)[None])


def test_numbers_and_their_gradients() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, -4.0]], requires_grad=True)
    targets = torch.tensor([[0.5, NAN], [1.0, 0.0]])
    torch.testing.assert_close(regression_loss(values, targets, kind="mse"), torch.tensor([0.25, (4 + 16) / 2]))
    torch.testing.assert_close(regression_loss(values, targets, kind="l1"), torch.tensor([0.5, (2 + 4) / 2]))
    found = regression_loss(values, targets, kind="huber")
    torch.testing.assert_close(found, torch.tensor([0.125, (1.5 + 3.5) / 2]))
    found.sum().backward()
    assert values.grad is not None
    assert values.grad[0, 1] == 0
    assert values.grad.isfinite().all()
