import math

import pytest
import torch

from saccade.losses import (
    cross_entropy_loss,
    dice_cross_entropy_loss,
    dice_loss,
    homework_dice_loss,
    published_dice_loss,
)
from saccade.losses.dice import overlap

ALL = [cross_entropy_loss, dice_cross_entropy_loss, dice_loss, homework_dice_loss, published_dice_loss]


def two_voxels():
    """One item, two classes, two voxels: p = (0.75, 0.5) for class 1; the labels are 1 and 0."""
    logits = torch.tensor([[[0.0, 0.0], [math.log(3.0), 0.0]]])
    return logits, torch.tensor([[1, 0]])


def random_case(space=(5, 7), classes=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((3, classes, *space), generator=generator).to(dtype)
    return logits, torch.randint(0, classes, (3, *space), generator=generator)


def one_hot(target, classes):
    return torch.nn.functional.one_hot(target, classes).movedim(-1, 1).double()


def test_dice_by_hand():
    # Class 0: p = (0.25, 0.5), g = (0, 1); class 1: p = (0.75, 0.5), g = (1, 0).
    # Squared: 2 * 0.5 / (0.0625 + 0.25 + 1) = 0.761905 and 2 * 0.75 / (0.5625 + 0.25 + 1) = 0.827586.
    squared = 1 - (1 / 1.3125 + 1.5 / 1.8125) / 2
    assert dice_loss(*two_voxels(), smooth=0.0).item() == pytest.approx(squared, abs=1e-6)
    # Plain: 2 * 0.5 / (0.75 + 1) and 2 * 0.75 / (1.25 + 1).
    plain = 1 - (1 / 1.75 + 1.5 / 2.25) / 2
    assert dice_loss(*two_voxels(), smooth=0.0, squared=False).item() == pytest.approx(plain, abs=1e-6)
    foreground = 1 - 1.5 / 1.8125
    assert dice_loss(*two_voxels(), smooth=0.0, include_background=False).item() == pytest.approx(foreground, abs=1e-6)
    assert dice_loss(*two_voxels(), smooth=1.0, squared=False).item() == pytest.approx(
        1 - (2 / 2.75 + 2.5 / 3.25) / 2, abs=1e-6
    )


def test_published_dice_by_hand():
    want = 1 - (2 * 0.51 / 1.76 + 2 * 0.76 / 2.26) / 2
    assert published_dice_loss(*two_voxels()).item() == pytest.approx(want, abs=1e-6)
    # Of class 1 alone: its softmax is 1 everywhere; 2 * 1.01 / (2 + 1 + 0.01), divided by both classes.
    alone = 1 - 2 * 1.01 / 3.01 / 2
    assert published_dice_loss(*two_voxels(), class_ids=[1]).item() == pytest.approx(alone, abs=1e-6)


def test_homework_dice_by_hand_and_its_scale():
    want = -1.5 / 1.8125
    assert homework_dice_loss(*two_voxels(), logit_scale=1.0).item() == pytest.approx(want, abs=1e-6)
    # At scale 100 the first voxel is decided and the second still even: 2 * 1 / (1 + 0.25 + 1).
    assert homework_dice_loss(*two_voxels()).item() == pytest.approx(-2 / 2.25, abs=1e-6)


def test_dice_cross_entropy_by_hand_and_its_weights():
    entropy = -(math.log(0.75) + math.log(0.5)) / 2
    dice = 1 - (1.5 + 1e-5) / (2.25 + 1e-5)
    assert dice_cross_entropy_loss(*two_voxels()).item() == pytest.approx(dice + entropy, abs=1e-6)
    weighted = dice_cross_entropy_loss(*two_voxels(), dice_weight=3.0, cross_entropy_weight=0.5).item()
    assert weighted == pytest.approx(3 * dice + entropy / 2, abs=1e-6)


def test_cross_entropy_divides_by_voxels_also_with_weights():
    logits, target = two_voxels()
    total = -2.0 * math.log(0.75) - 5.0 * math.log(0.5)
    weights = torch.tensor([5.0, 2.0])
    assert cross_entropy_loss(logits, target, class_weights=weights).item() == pytest.approx(total / 2, abs=1e-6)
    assert cross_entropy_loss(logits, target, class_weights=weights, mean=False).item() == pytest.approx(
        total, abs=1e-6
    )


def test_sums_over_the_batch_differ_from_sums_over_items():
    logits, target = random_case(dtype=torch.double)
    p, g = logits.softmax(1), one_hot(target, 4)
    dice = 2 * (p * g).sum((0, 2, 3)) / (p.square().sum((0, 2, 3)) + g.sum((0, 2, 3)))
    got = dice_loss(logits, target, smooth=0.0, over_batch=True)
    torch.testing.assert_close(got, 1 - dice.mean())
    assert (got - dice_loss(logits, target, smooth=0.0)).abs() > 1e-4


def test_dice_cross_entropy_sums_over_the_batch():
    logits, target = random_case()
    dice = dice_loss(logits, target, squared=False, include_background=False, over_batch=True)
    torch.testing.assert_close(dice_cross_entropy_loss(logits, target, cross_entropy_weight=0.0), dice)


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_right_answers_cost_less_and_space_does_not_matter(loss):
    logits, target = random_case((3, 5, 7))
    sure = 30.0 * one_hot(target, 4).float()
    assert loss(sure, target) < loss(logits, target)
    shuffled = torch.randperm(105)
    flat = loss(logits.flatten(2)[..., shuffled], target.flatten(1)[..., shuffled])
    torch.testing.assert_close(flat, loss(logits, target), rtol=1e-4, atol=1e-5)


def test_best_values():
    _, target = random_case()
    sure = 100.0 * one_hot(target, 4).float()
    assert dice_loss(sure, target).item() == pytest.approx(0, abs=1e-5)
    assert homework_dice_loss(sure, target).item() == pytest.approx(-1, abs=1e-5)
    assert dice_cross_entropy_loss(sure, target).item() == pytest.approx(0, abs=1e-5)


def test_a_class_that_is_absent_and_not_predicted_is_right():
    target = torch.zeros(1, 9, dtype=torch.long)
    sure = 100.0 * one_hot(target, 3).float()
    assert dice_loss(sure, target).item() == pytest.approx(0, abs=1e-5)


def test_one_class_alone_is_no_division_by_nothing():
    logits, target = torch.randn(2, 1, 5), torch.zeros(2, 5, dtype=torch.long)
    assert dice_cross_entropy_loss(logits, target).isfinite()


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_gradient(loss):
    logits, target = random_case((2, 3), 3, torch.double)
    options = {"logit_scale": 1.5} if loss is homework_dice_loss else {}
    assert torch.autograd.gradcheck(lambda z: loss(z, target, **options), logits.requires_grad_())


def test_gradient_of_chosen_classes():
    logits, target = random_case((2, 3), 3, torch.double)
    inputs = (logits.requires_grad_(),)
    assert torch.autograd.gradcheck(lambda z: published_dice_loss(z, target, class_ids=[0, 2]), inputs)


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_half_precision_scores_are_summed_in_single_precision(loss):
    logits, target = random_case((13, 17, 11))
    half = logits.bfloat16()
    got = loss(half, target)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, loss(half.float(), target))


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_labels_of_any_integer_type_are_taken(loss):
    logits, target = random_case()
    torch.testing.assert_close(loss(logits, target.to(torch.uint8)), loss(logits, target))


def test_a_target_of_another_shape_is_named():
    message = (
        r"^losses: target must be \(b, \*space\) = \(3, 5, 7\) for logits of shape \(3, 4, 5, 7\), got \(3, 7, 5\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        overlap(random_case()[0], torch.zeros(3, 7, 5, dtype=torch.long))
