import pytest
import torch
from torch.nn import functional as F

from saccade.losses import heads_cross_entropy


def test_heads_count_as_they_weigh():
    heads, target = [torch.randn(5, 3) for _ in range(3)], torch.tensor([0, 1, 2, 1, 1])
    want = sum(w * F.cross_entropy(head, target) for w, head in zip((1, 0.1, 0.5), heads, strict=True))
    torch.testing.assert_close(heads_cross_entropy(heads, target, (1, 0.1, 0.5)), want)
    rare = torch.tensor([1.0, 0.0, 3.0])
    want = F.cross_entropy(heads[0], target, rare)
    torch.testing.assert_close(heads_cross_entropy(heads[:1], target, (1.0,), class_weights=rare), want)


def test_a_weight_is_there_for_each_head():
    target = torch.tensor([0])
    message = r"^heads_cross_entropy: weights must be one for each head, at least one, got {} for {}\.$"
    with pytest.raises(ValueError, match=message.format(1, 2)):
        heads_cross_entropy([torch.zeros(1, 2)] * 2, target, (1.0,))
    with pytest.raises(ValueError, match=message.format(0, 0)):
        heads_cross_entropy([], target, ())
