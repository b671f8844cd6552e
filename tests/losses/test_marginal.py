"""Losses of partially labelled items: by hand, against the problem without the missing classes, and what they teach."""

import math

import pytest
import torch
from torch import nn

from saccade.errors import InputError
from saccade.losses import (
    cross_entropy_loss,
    dice_cross_entropy_loss,
    dice_loss,
    homework_dice_loss,
    mean_over_labelled,
    merge_unlabelled,
    published_dice_loss,
)


def plain_dice(logits, target, **more):
    return dice_loss(logits, target, squared=False, include_background=False, over_batch=True, **more)


def bare_dice(logits, target, **more):
    return dice_loss(logits, target, smooth=0.0, **more)


def soft_homework(logits, target, **more):
    return homework_dice_loss(logits, target, logit_scale=3.0, **more)


BY_ITEM = [cross_entropy_loss, dice_loss, bare_dice, soft_homework, published_dice_loss]
ALL = [*BY_ITEM, dice_cross_entropy_loss, plain_dice, homework_dice_loss]
LABELLED = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1]]).bool()


def case(items=3, classes=4, space=(5, 7), seed=0):
    """Logits and labels in float64; each class stands somewhere in each item."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((items, classes, *space), generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (items, *space), generator=generator)


def without(logits, target, labelled, scale=1.0):
    """One item as a problem of its labelled classes alone: the others' probability is the background's."""
    kept = [0, *(value for value in range(1, logits.shape[1]) if labelled[value])]
    rest = [value for value in range(logits.shape[1]) if value not in kept]
    background = (scale * logits[:, [0, *rest]]).exp().sum(1, keepdim=True).log() / scale
    smaller = torch.zeros_like(target)
    for place, value in enumerate(kept):
        if value:
            smaller[target == value] = place
    return torch.cat([background, logits[:, kept[1:]]], 1), smaller


def test_probabilities_by_hand() -> None:
    # p = (0.2, 0.3, 0.5), class 2 not labelled: q = (0.7, 0.3, 0)
    logits = torch.tensor([0.2, 0.3, 0.5]).log().reshape(1, 3, 1)
    labelled = torch.tensor([[True, True, False]])
    merged, target = merge_unlabelled(logits, torch.tensor([[2]]), labelled)
    torch.testing.assert_close(merged.softmax(1).flatten(), torch.tensor([0.7, 0.3, 0.0]))
    assert target.item() == 0
    for label, probability in ((0, 0.7), (1, 0.3), (2, 0.7)):
        loss = cross_entropy_loss(logits, torch.tensor([[label]]), labelled=labelled)
        assert loss.item() == pytest.approx(-math.log(probability), abs=1e-6)
    # squared Dice of background alone and class 1, target 0: 2 x 0.7 / (0.49 + 1), and nothing of class 1
    dice = dice_loss(logits, torch.tensor([[0]]), smooth=0.0, labelled=labelled)
    assert dice.item() == pytest.approx(1 - (1.4 / 1.49 + 0) / 2, abs=1e-6)


@pytest.mark.parametrize("loss", ALL)
def test_with_all_classes_labelled_it_is_the_loss_itself(loss) -> None:
    logits, target = case()
    values, gradients = [], []
    for more in ({}, {"labelled": torch.ones(3, 4, dtype=torch.bool)}):
        x = logits.clone().requires_grad_()
        values.append(loss(x, target, **more))
        gradients.append(torch.autograd.grad(values[-1], x)[0])
    torch.testing.assert_close(values[1], values[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("item", [0, 1])
def test_an_item_is_the_problem_of_its_labelled_classes(loss, item) -> None:
    logits, target = (part[item : item + 1] for part in case())
    scale = {soft_homework: 3.0, homework_dice_loss: 100.0}.get(loss, 1.0)
    if scale == 100.0:
        logits = logits / 30  # exp of the helper's sum stays finite
    expected = loss(*without(logits, target, LABELLED[item], scale))
    found = loss(logits, target, labelled=LABELLED[item : item + 1])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert abs(found - loss(logits, target)) > 1e-3  # it is not what treating them as background gives


@pytest.mark.parametrize("loss", BY_ITEM)
def test_a_mixed_batch_is_the_mean_of_its_items(loss) -> None:
    logits, target = case()
    one_by_one = [loss(logits[n : n + 1], target[n : n + 1], labelled=LABELLED[n : n + 1]) for n in range(3)]
    torch.testing.assert_close(loss(logits, target, labelled=LABELLED), torch.stack(one_by_one).mean())


def test_dice_over_a_batch_is_of_the_items_that_have_the_class() -> None:
    logits, target = case()
    labelled = LABELLED[[0, 1, 1]]  # class 1 in the first, class 2 in the others, class 3 in the first
    merged, truth = merge_unlabelled(logits, target, labelled)
    p = merged.softmax(1)
    dice = []
    for value, items in ((1, [0]), (2, [1, 2]), (3, [0])):
        own, mask = p[items, value], truth[items] == value
        dice.append((2 * own[mask].sum() + 1e-5) / (own.sum() + mask.sum() + 1e-5))
    torch.testing.assert_close(plain_dice(logits, target, labelled=labelled), 1 - sum(dice) / 3)
    none_has_3 = labelled.clone()
    none_has_3[:, 3] = False
    found = plain_dice(logits, target, labelled=none_has_3)  # a class that no item has says nothing
    torch.testing.assert_close(found, 1 - sum(dice[:2]) / 2)


@pytest.mark.parametrize("loss", ALL)
def test_how_background_is_shared_with_unlabelled_classes_does_not_matter(loss) -> None:
    logits, target = case()
    labelled = LABELLED.clone()
    x = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x, target, labelled=labelled), x)
    assert gradient.isfinite().all()
    scale = {soft_homework: 3.0, homework_dice_loss: 100.0}.get(loss, 1.0)
    p = (scale * logits).softmax(1)
    # from background (0) to class 2 in the first item, where it is not labelled: p_0 + p_2 stays
    move = torch.zeros_like(logits)
    move[0, 0], move[0, 2] = p[0, 2], -p[0, 0]
    assert abs((gradient * move).sum()) < 1e-12
    # ... while from background to class 1, which is labelled, it matters
    other = torch.zeros_like(logits)
    other[0, 0], other[0, 1] = p[0, 1], -p[0, 0]
    assert abs((gradient * other).sum()) > 1e-6
    shared = logits.clone()
    total = (scale * logits[0, [0, 2]]).logsumexp(0)
    shared[0, 0], shared[0, 2] = (total + math.log(0.9)) / scale, (total + math.log(0.1)) / scale
    torch.testing.assert_close(loss(shared, target, labelled=labelled), loss(logits, target, labelled=labelled))
    everything = torch.ones_like(labelled)
    assert abs(loss(shared, target, labelled=everything) - loss(logits, target, labelled=everything)) > 1e-4


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_loss, soft_homework, published_dice_loss])
def test_gradients(loss) -> None:
    logits, target = case(space=(3,))
    assert torch.autograd.gradcheck(lambda x: loss(x, target, labelled=LABELLED), logits.requires_grad_())


def test_means_by_hand() -> None:
    values = torch.tensor([[1.0, 2.0, 6.0], [5.0, torch.nan, 3.0], [9.0, 9.0, 9.0]])
    labelled = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    assert mean_over_labelled(values, labelled).item() == (3 + 4) / 2
    assert mean_over_labelled(values, torch.zeros_like(labelled)).item() == 0


def test_what_is_refused() -> None:
    logits, target = case()
    for wrong, message in [
        (LABELLED[:2], "losses: labelled must be (b, classes) = (3, 4), got (2, 4)."),
        (~LABELLED, "losses: labelled must be true of the background (class 0) in every item."),
    ]:
        with pytest.raises(InputError) as error:
            cross_entropy_loss(logits, target, labelled=wrong)
        assert str(error.value) == message
    with pytest.raises(InputError) as error:
        published_dice_loss(logits, target, labelled=LABELLED, class_ids=[1])
    assert str(error.value) == "published_dice_loss: class_ids and labelled must not be given together."


def learned_dice(labelled: torch.Tensor, loss) -> float:
    """Mean Dice of three classes told by their grey value, of which each item may have only some labelled."""
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(0, 4, (15, 64), generator=generator)
    image = (truth + 0.1 * torch.randn(truth.shape, generator=generator))[:, None]
    target = truth.where(labelled.gather(1, truth), torch.zeros_like(truth))  # what the annotator has left
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv1d(1, 16, 1), nn.ReLU(), nn.Conv1d(16, 4, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(120):
        optimiser.zero_grad()
        loss(network(image), target).backward()
        optimiser.step()
    found = network(image).argmax(1)
    scores = [2 * ((found == v) & (truth == v)).sum() / ((found == v).sum() + (truth == v).sum()) for v in (1, 2, 3)]
    return float(sum(scores) / 3)


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_cross_entropy_loss, dice_loss])
def test_sets_with_a_class_each_teach_what_a_whole_set_teaches(loss) -> None:
    everything = torch.ones(15, 4, dtype=torch.bool)
    thirds = torch.zeros_like(everything)
    thirds[:, 0] = True
    thirds[torch.arange(15), 1 + torch.arange(15) % 3] = True
    whole = learned_dice(everything, loss)
    assert whole > 0.98
    assert learned_dice(thirds, lambda x, y: loss(x, y, labelled=thirds)) > whole - 0.01
    if loss is cross_entropy_loss:  # what two of three items call background is background to it
        assert learned_dice(thirds, loss) < 0.1
