"""Losses of detectors: parity with fvcore's focal loss, SSD's and the lecture's code, and what they promise."""

from functools import partial

import pytest
import torch
from golden_parity import close, goldens, load
from torch import Tensor
from torch.nn import functional as F

from saccade.layers.anchors import grid_anchors, prior_boxes
from saccade.losses import (
    Objects,
    focal_detection_loss,
    focal_loss,
    focal_loss_star,
    lecture_loss,
    multibox_loss,
)

# grids, zooms and ratios by the name in the stored cases
ANCHORS = {
    "g4_k1": ([4], [1.0], [(1.0, 1.0)]),
    "g421_k3": ([4, 2, 1], [1.0], [(1.0, 1.0), (1.0, 0.5), (0.5, 1.0)]),
    "g421_k9": ([4, 2, 1], [0.7, 1.0, 1.3], [(1.0, 1.0), (1.0, 0.5), (0.5, 1.0)]),
    "g531_k4": ([5, 3, 1], [0.8, 1.25], [(1.0, 1.0), (0.6, 1.4)]),
    "g72_k2": ([7, 2], [1.1], [(1.0, 0.7), (0.4, 1.0)]),
}
PRIOR = {
    "maps": [4, 2],
    "image": 64,
    "steps": [16, 32],
    "smallest": [12, 24],
    "largest": [24, 40],
    "ratios": [[2], [2, 3]],
}


def named(*starts: str) -> list:
    paths = goldens("E_focal", "E_ssd", "E_fastai_ssd")
    return [pytest.param(path, id=path.stem) for path in paths if path.stem.startswith(starts)]


@pytest.mark.parametrize("path", named("sigmoid_focal_loss_a"))
def test_focal_loss_equals_fvcores(path) -> None:
    golden = load(path)
    alpha, gamma = golden.about["arguments"]["alpha"], golden.about["arguments"]["gamma"]
    check_element_wise(golden.tensors, partial(focal_loss, alpha=None if alpha < 0 else alpha, gamma=gamma))


@pytest.mark.parametrize("path", named("sigmoid_focal_loss_star"))
def test_focal_loss_star_equals_fvcores(path) -> None:
    golden = load(path)
    check_element_wise(golden.tensors, partial(focal_loss_star, **golden.about["arguments"]))


def check_element_wise(tensors: dict[str, Tensor], loss) -> None:
    x = tensors["input.x"].clone().requires_grad_()
    found = loss(x, tensors["input.target"])
    close(found, tensors["output"], "loss")
    total = (found * tensors["cotangent"]).sum()
    for name, whole in {"mean": found.mean(), "sum": found.sum()}.items():  # what fvcore's reductions give
        if f"output.{name}" in tensors:
            close(whole, tensors[f"output.{name}"], name)
            total = total + whole * tensors[f"cotangent.{name}"]
    total.backward()
    close(x.grad, tensors["grad.input.x"], "gradient")


@pytest.mark.parametrize("path", named("MultiBoxLoss"))
def test_multibox_loss_equals_ssds(path) -> None:
    tensors = load(path).tensors
    offsets, scores = (tensors[f"input.{name}"].clone().requires_grad_() for name in ("loc", "conf"))
    truths = [tensors["input.t0"], tensors["input.t1"]]
    objects = [Objects(truth[:, :4], truth[:, 4].long()) for truth in truths]
    found = multibox_loss(scores, offsets, objects, prior_boxes(**PRIOR))
    close(found.location, tensors["output.loss_l"], "location")
    close(found.classes, tensors["output.loss_c"], "classes")
    (found.location * tensors["cotangent.loss_l"] + found.classes * tensors["cotangent.loss_c"]).backward()
    close(offsets.grad, tensors["grad.input.loc"], "gradient of offsets")
    close(scores.grad, tensors["grad.input.conf"], "gradient of scores")


@pytest.mark.parametrize("path", named("ssd_loss"))
def test_lecture_loss_equals_the_lectures(path) -> None:
    tensors = load(path).tensors
    grids, zooms, ratios = next(settings for name, settings in ANCHORS.items() if f"_{name}_" in path.stem)
    boxes, cells = grid_anchors(grids, zooms=zooms, ratios=ratios)
    scores, activations = (tensors[f"input.{name}"].clone().requires_grad_() for name in ("b_c", "b_bb"))
    options = {}
    if "focal" in path.stem:
        options["class_loss"] = partial(focal_loss, alpha=0.25, gamma=1, through_weight="gradflow" in path.stem)
    # the lecture's columns are y1 x1 y2 x2, its last column of scores is background, which it never looks at
    objects = [_objects(b, c) for b, c in zip(tensors["input.bbox"], tensors["input.clas"], strict=True)]
    found = lecture_loss(scores[..., :-1], activations[..., [1, 0, 3, 2]], objects, boxes, cells, **options)
    close(found.location, tensors["output.loc"], "location")
    close(found.classes, tensors["output.clas"], "classes")
    close(found.total, tensors["output"], "total")
    parts = {"": found.total, ".loc": found.location, ".clas": found.classes}
    sum(part * tensors[f"cotangent{name}"] for name, part in parts.items()).backward()
    close(scores.grad, tensors["grad.input.b_c"], "gradient of scores")
    close(activations.grad, tensors["grad.input.b_bb"], "gradient of boxes")


def _objects(boxes: Tensor, classes: Tensor) -> Objects:
    """Without the zeros in front that make all images' lists equally long."""
    boxes = boxes.reshape(-1, 4) / 224
    real = boxes[:, 2] - boxes[:, 0] > 0
    return Objects(boxes[real][:, [1, 0, 3, 2]], classes[real])


def test_focal_loss_without_focus_is_half_the_cross_entropy() -> None:
    x, t = torch.randn(50), torch.randint(0, 2, (50,)).float()
    plain = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert torch.allclose(focal_loss(x, t, alpha=0.5, gamma=0), plain / 2)
    assert torch.allclose(focal_loss(x, t, alpha=None, gamma=0), plain)


def test_focal_loss_fades_with_ease_and_stays_finite() -> None:
    ease = torch.tensor([-2.0, 0.0, 2.0, 5.0])
    ratio = focal_loss(ease, torch.ones(4), alpha=None, gamma=2) / focal_loss(ease, torch.ones(4), alpha=None, gamma=0)
    assert (ratio.diff() < 0).all()
    x = torch.tensor([80.0, -80.0, 1e4], requires_grad=True)
    focal_loss(x, torch.tensor([1.0, 0.0, 1.0]), gamma=0.5).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def objects_of(*boxes: list[float]) -> Objects:
    return Objects(torch.tensor(boxes).reshape(-1, 4), torch.zeros(len(boxes), dtype=torch.long))


def test_images_without_objects_teach_background_alone() -> None:
    anchors, cells = grid_anchors([2])
    scores, boxes = torch.zeros(1, 4, 3, requires_grad=True), torch.zeros(1, 4, 4, requires_grad=True)
    for loss in (
        lecture_loss(scores, boxes, [objects_of()], anchors, cells),
        focal_detection_loss(scores, boxes, [objects_of()], anchors, class_loss=focal_loss),
    ):
        scores.grad = None
        loss.total.backward()
        assert loss.location == 0
        assert (scores.grad > 0).all()
    assert multibox_loss(scores, boxes, [objects_of()], anchors).total == 0  # no positive, so no hard negatives


def test_anchors_between_the_thresholds_count_nowhere() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4.5], [20, 20, 30, 30]])
    scores = torch.zeros(1, 3, 1, requires_grad=True)
    loss = focal_detection_loss(
        scores, torch.zeros(1, 3, 4), [objects_of([0.0, 0, 10, 10])], anchors, class_loss=focal_loss
    )
    loss.total.backward()
    assert (scores.grad[0, :, 0].sign() == torch.tensor([-1.0, 0.0, 1.0])).all()
    assert loss.location == 0  # the first anchor is the box


def test_hard_negatives_are_three_times_the_positives() -> None:
    anchors, _ = grid_anchors([4])
    scores = torch.randn(1, 16, 3, requires_grad=True)
    multibox_loss(scores, torch.zeros(1, 16, 4), [objects_of(anchors[5].tolist())], anchors).classes.backward()
    counted = (scores.grad[0].abs().sum(1) > 0).nonzero()[:, 0].tolist()
    harder = F.cross_entropy(scores[0], torch.zeros(16, dtype=torch.long), reduction="none")
    harder[5] = -1
    assert sorted([5, *harder.topk(3).indices.tolist()]) == counted


def test_anchors_within_ignored_boxes_are_no_background() -> None:
    anchors, cells = grid_anchors([4])  # cells of a quarter; the ignored box holds the four of the upper left quarter
    scores, activations = torch.randn(1, 16, 3), torch.randn(1, 16, 4)
    object_, ignored = torch.tensor([[0.75, 0.75, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.5, 0.5]])
    inside = [0, 1, 4, 5]

    def losses(scores: Tensor, ignored: Tensor | None) -> list[Tensor]:
        known = [Objects(object_, torch.tensor([1]), ignored)]
        columns = torch.cat([scores.new_zeros(1, 16, 1), scores], -1)
        focal = focal_detection_loss(scores, activations, known, anchors, class_loss=focal_loss)
        wide = multibox_loss(columns, activations, known, anchors, negatives=15.0)
        return [part.classes for part in (lecture_loss(scores, activations, known, anchors, cells), focal, wide)]

    other = scores.clone()
    other[0, inside] += 3
    for first, second in zip(losses(scores, ignored), losses(other, ignored), strict=True):
        torch.testing.assert_close(first, second)
    for first, second in zip(losses(scores, None), losses(other, None), strict=True):
        assert abs(first - second) > 1e-2


def test_an_object_within_an_ignored_box_is_still_learnt() -> None:
    anchors, cells = grid_anchors([2])
    known = Objects(torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([0]), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    sure = torch.tensor([[[20.0], [20.0], [20.0], [20.0]]])
    loss = lecture_loss(sure, torch.zeros(1, 4, 4), [known], anchors, cells)
    assert loss.classes < 1e-6  # the other three count nowhere
    assert lecture_loss(-sure, torch.zeros(1, 4, 4), [known], anchors, cells).classes > 19
