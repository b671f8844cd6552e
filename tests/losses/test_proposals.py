"""Losses of two-stage detectors, by hand: what counts, what does not, and by how much it is divided."""

from math import log

import pytest
import torch

from saccade.losses.detection import Objects
from saccade.losses.proposals import Sampled, description_losses, proposal_loss, region_loss, sample_regions

BOX = torch.tensor([[0.0, 0, 10, 10]])
ONE = Objects(BOX, torch.tensor([0]), more={"shape": torch.tensor([2])})
NONE = Objects(BOX[:0], torch.zeros(0, dtype=torch.long), more={"shape": torch.zeros(0, dtype=torch.long)})
# the object itself, an overlap of 0.5 (neither), nothing
ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])


def test_anchors_between_object_and_background_count_nowhere() -> None:
    """log(1 + 1/e) of the object and log(1 + e^2) of background, over two; smooth L1 of 0.5 is 0.125, of 2 is 1.5."""
    scores = torch.tensor([[1.0, 7.0, 2.0]], requires_grad=True)
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 0] = torch.tensor([0.5, 0, 0, 2.0])
    offsets[0, 2] = 9.0
    loss = proposal_loss(scores, offsets, [ONE], ANCHORS)
    assert loss.classes.item() == pytest.approx((log(1 + torch.e**-1) + log(1 + torch.e**2)) / 2)
    assert loss.location.item() == pytest.approx((0.125 + 1.5) / 2)
    loss.classes.backward()
    assert scores.grad[0, 1] == 0


def test_no_more_anchors_than_asked_for_and_half_of_them_objects() -> None:
    torch.manual_seed(0)
    anchors = torch.cat([BOX.repeat(9, 1), ANCHORS[2:].repeat(40, 1)])
    scores = torch.zeros(2, 49, requires_grad=True)
    proposal_loss(scores, torch.zeros(2, 49, 4), [ONE, NONE], anchors, sampled=8).classes.backward()
    chosen = scores.grad != 0
    assert (int(chosen[0, :9].sum()), int(chosen[0, 9:].sum())) == (4, 4)
    assert int(chosen[1].sum()) == 8


def test_nothing_in_an_image_is_all_background() -> None:
    loss = proposal_loss(torch.zeros(1, 3), torch.ones(1, 3, 4), [NONE], ANCHORS)
    assert loss.classes.item() == pytest.approx(log(2))
    assert loss.location.item() == 0


def test_what_is_ignored_is_no_background() -> None:
    known = Objects(BOX, torch.tensor([0]), torch.tensor([[45.0, 45, 65, 65]]), {"shape": torch.tensor([2])})
    scores = torch.zeros(1, 3, requires_grad=True)
    proposal_loss(scores, torch.zeros(1, 3, 4), [known], ANCHORS).classes.backward()
    assert (scores.grad[0] != 0).tolist() == [True, False, False]
    regions = sample_regions([ANCHORS], [known])
    assert sorted(map(tuple, regions.boxes[0].tolist())) == [(0, 0, 10, 5), (0, 0, 10, 10), (0, 0, 10, 10)]


def test_regions_learn_from_the_object_that_they_overlap_most() -> None:
    known = Objects(
        torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]]),
        torch.tensor([1, 0]),
        more={"shape": torch.tensor([-1, 2]), "margin": torch.tensor([0, 1])},
    )
    proposals = torch.tensor([[21.0, 0, 31, 10], [0, 0, 10, 4], [60, 60, 70, 70]])
    regions = sample_regions([proposals, proposals[2:]], [known, NONE_TOO])
    rows = {
        tuple(box): (number, tuple(wanted), shape, margin)
        for box, number, wanted, shape, margin in zip(
            regions.all_boxes.tolist(),
            regions.classes.tolist(),
            regions.wanted.tolist(),
            regions.more["shape"].tolist(),
            regions.more["margin"].tolist(),
            strict=True,
        )
    }
    second = (20.0, 0.0, 30.0, 10.0)
    assert rows[(0.0, 0.0, 10.0, 10.0)] == (2, (0, 0, 10, 10), -1, 0)  # the true boxes are among them
    assert rows[second] == (1, second, 2, 1)
    assert rows[(21.0, 0.0, 31.0, 10.0)] == (1, second, 2, 1)
    assert rows[(0.0, 0.0, 10.0, 4.0)] == (0, (0, 0, 10, 4), -1, -1)  # an overlap of 0.4 is background
    assert [len(boxes) for boxes in regions.boxes] == [5, 1]
    assert regions.classes[-1] == 0


NONE_TOO = Objects(
    BOX[:0],
    torch.zeros(0, dtype=torch.long),
    more={name: torch.zeros(0, dtype=torch.long) for name in ("shape", "margin")},
)


def test_no_more_regions_than_asked_for() -> None:
    torch.manual_seed(0)
    proposals = torch.cat([BOX.repeat(20, 1), ANCHORS[2:].repeat(20, 1)])
    regions = sample_regions([proposals, proposals[:3]], [ONE, ONE], sampled=6, positives=0.5)
    assert [len(boxes) for boxes in regions.boxes] == [6, 3]
    assert (regions.classes > 0).tolist() == [True] * 3 + [False] * 3 + [True] * 3


def test_loss_of_regions() -> None:
    """Cross-entropies log 2 twice over two; of boxes the object's: 0.5 / 10 / 0.1 = 0.5 in a number is 0.125."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    wanted = torch.tensor([[0.5, 0, 10.5, 10], [0, 0, 1, 1]])
    regions = Sampled((boxes,), torch.tensor([1, 0]), wanted, {})
    loss = region_loss(torch.zeros(2, 2), torch.zeros(2, 4), regions)
    assert loss.classes.item() == pytest.approx(log(2))
    assert loss.location.item() == pytest.approx(0.125 / 2)


def test_background_and_missing_values_are_out_of_a_descriptors_loss() -> None:
    """-log softmax of (0, log 3) is log 4 and log 4/3; the two other rows change nothing and learn nothing."""
    shape = torch.tensor([[0.0, log(3)], [0.0, log(3)], [9.0, -9], [-9.0, 9]], requires_grad=True)
    values = {"shape": torch.tensor([0, 1, -1, -1]), "margin": torch.full((4,), -1)}
    losses = description_losses({"shape": shape, "margin": torch.zeros(4, 3)}, values)
    assert losses["shape"].item() == pytest.approx((log(4) + log(4 / 3)) / 2)
    assert losses["margin"].item() == 0
    losses["shape"].backward()
    assert (shape.grad[:2] != 0).all()
    assert (shape.grad[2:] == 0).all()
