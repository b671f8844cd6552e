"""Boxes: parity with SSD's and the lecture's code, and what overlap, matching, offsets and suppression promise."""

import pytest
import torch
from golden_parity import close, goldens, load
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saccade.errors import InputError
from saccade.layers.anchors import grid_anchors, prior_boxes, pyramid_anchors
from saccade.layers.boxes import (
    centre_and_size,
    clip,
    content,
    decode,
    decode_within_cell,
    encode,
    jaccard,
    match,
    non_maximum_suppression,
)

PRIOR = {
    "maps": [4, 2],
    "image": 64,
    "steps": [16, 32],
    "smallest": [12, 24],
    "largest": [24, 40],
    "ratios": [[2], [2, 3]],
}


def named(start: str) -> list:
    return [
        pytest.param(path, id=path.stem) for path in goldens("E_fastai_ssd", "E_ssd") if path.stem.startswith(start)
    ]


def x_first(boxes: Tensor) -> Tensor:
    """The lecture's (y1, x1, y2, x2) as (x1, y1, x2, y2)."""
    return boxes[..., [1, 0, 3, 2]]


def draw_boxes(seed: int, count: int, dims: int = 2, side: float = 10.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, dims, generator=generator) * side
    return torch.cat([low, low + 0.1 + torch.rand(count, dims, generator=generator) * side / 2], 1)


@pytest.mark.parametrize("path", named("match"))
def test_priors_overlaps_matches_and_offsets_equal_ssds(path) -> None:
    golden = load(path)
    tensors = golden.tensors
    priors = prior_boxes(**PRIOR)
    close(torch.cat(centre_and_size(priors), 1), tensors["output.priors"], "priors")
    close(priors, tensors["output.priors_point_form"], "corners")
    overlaps = jaccard(tensors["input.truths"], priors)
    close(overlaps, tensors["output.jaccard"], "jaccard")
    found = match(overlaps, float(tensors["input.threshold"]))
    told = tensors["input.labels"].long()[found.index] + 1
    assert torch.equal(torch.where(found.positive, told, 0), tensors["output.conf_t"])
    close(encode(tensors["input.truths"][found.index], priors), tensors["output.loc_t"], "offsets")
    close(decode(tensors["output.loc_t"], priors), tensors["output.decoded"], "decoded")


@pytest.mark.parametrize("path", named("nms"))
def test_suppression_equals_ssds(path) -> None:
    tensors = load(path).tensors
    kept = non_maximum_suppression(
        tensors["input.boxes"],
        tensors["input.scores"],
        overlap=float(tensors["input.overlap"]),
        candidates=int(tensors["input.top_k"]),
    )
    assert kept.tolist() == tensors["output.keep"][: int(tensors["output.count"])].tolist()


@pytest.mark.parametrize("path", named("anchors"))
def test_grid_anchors_equal_the_lectures(path) -> None:
    tensors = load(path).tensors
    boxes, cells = grid_anchors(
        tensors["input.grids"].tolist(), zooms=tensors["input.zooms"].tolist(), ratios=tensors["input.ratios"].tolist()
    )
    close(boxes, x_first(tensors["output.anchor_cnr"]), "corners")
    close(cells, tensors["output.grid_sizes"].expand(-1, 2), "cells")


@pytest.mark.parametrize("path", named("map_to_ground_truth"))
def test_matches_equal_the_lectures(path) -> None:
    tensors = load(path).tensors
    overlaps = jaccard(x_first(tensors["input.boxes"]), x_first(tensors["input.anchor_cnr"]))
    close(overlaps, tensors["output.overlaps"], "overlaps")
    found = match(overlaps, float(tensors["input.threshold"]))
    assert torch.equal(found.index, tensors["output.gt_idx"])
    assert torch.equal(found.positive, tensors["output.pos"])
    natural = tensors["output.gt_overlap"] < 1.5  # 1.99 marks what was forced
    close(found.overlap[natural], tensors["output.gt_overlap"][natural], "overlap")


@pytest.mark.parametrize("path", named("actn_to_bb"))
def test_decoding_within_the_cell_equals_the_lectures(path) -> None:
    tensors = load(path).tensors
    activations = tensors["input.actn"].clone().requires_grad_()
    centre, size = tensors["input.anchors"].chunk(2, 1)  # the lecture keeps middles and sizes
    corners = torch.cat([centre - size / 2, centre + size / 2], 1)
    found = decode_within_cell(activations, corners, tensors["input.grid_sizes"].expand(-1, 2))
    close(found, tensors["output"], "corners")
    (found * tensors["cotangent"]).sum().backward()
    close(activations.grad, tensors["grad.input.actn"], "gradient")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.floats(0.01, 50), st.floats(-20, 20))
def test_overlap_is_symmetric_and_blind_to_unit_and_place(seed: int, dims: int, unit: float, shift: float) -> None:
    first, second = draw_boxes(seed, 4, dims), draw_boxes(seed + 1, 3, dims)
    overlaps = jaccard(first, second)
    assert torch.equal(overlaps, jaccard(second, first).T)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()
    assert torch.allclose(jaccard(first * unit + shift, second * unit + shift), overlaps, atol=2e-3)
    assert torch.allclose(jaccard(first, first).diagonal(), torch.ones(4))


def test_overlap_of_touching_contained_and_empty_boxes() -> None:
    box = torch.tensor([[0.0, 0, 0, 2, 2, 2]])
    others = torch.tensor([[2.0, 0, 0, 4, 2, 2], [0, 0, 0, 1, 1, 1], [5, 5, 5, 5, 5, 5]])
    assert jaccard(box, others).tolist() == [[0.0, 0.125, 0.0]]
    assert jaccard(others[2:], others[2:]).tolist() == [[0.0]]
    with pytest.raises(InputError, match="got 4 and 6"):
        jaccard(torch.zeros(1, 4), box)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_offsets_lead_back_to_the_box(seed: int, dims: int) -> None:
    boxes, anchors = draw_boxes(seed, 5, dims), draw_boxes(seed + 1, 5, dims)
    assert torch.allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-4)
    assert torch.allclose(encode(anchors, anchors), torch.zeros(5, 2 * dims), atol=1e-6)


@pytest.mark.parametrize("threshold", [0.4, 0.5])  # of the training, of the demonstration
def test_the_overlaps_that_the_lecture_shows(threshold: float) -> None:
    """Three objects against the 4 x 4 grid, as printed in fastai's Deep Learning Part 2 (2018), lesson 9."""
    overlaps = torch.zeros(3, 16)
    overlaps[0, [9, 10, 13, 14]] = torch.tensor([0.0091, 0.0922, 0.0315, 0.3985])
    overlaps[1, [8, 9, 10, 12, 13, 14]] = torch.tensor([0.0356, 0.0549, 0.0103, 0.2598, 0.4538, 0.0653])
    overlaps[2, 11] = 0.1897
    found = match(overlaps, threshold)
    assert found.positive.nonzero()[:, 0].tolist() == [11, 13, 14]
    names = ("chair", "diningtable", "sofa")
    assert [names[number] for number in found.index[found.positive]] == ["sofa", "diningtable", "chair"]


def test_every_object_has_an_anchor_and_the_last_wins_a_shared_one() -> None:
    overlaps = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.3, 0.6], [0.05, 0.25, 0.1]])
    found = match(overlaps, 0.5)
    assert found.index[1:].tolist() == [2, 1]  # objects 0 and 2 both want anchor 1
    assert found.positive.tolist() == [False, True, True]
    assert found.negative.tolist() == [True, False, False]
    assert match(overlaps, 0.5, force=False).positive.tolist() == [False, False, True]
    between = match(overlaps, 0.5, background=0.3, force=False)
    assert (between.negative | between.positive).tolist() == [True, False, True]
    with pytest.raises(InputError, match="must not be above threshold"):
        match(overlaps, 0.3, background=0.4)


def test_an_image_without_objects_is_all_background() -> None:
    found = match(torch.zeros(0, 7))
    assert found.negative.all()
    assert not found.positive.any()
    assert len(found.index) == 7


def slow_suppression(boxes: Tensor, scores: Tensor, overlap: float) -> list[int]:
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(float(jaccard(boxes[index : index + 1], boxes[k : k + 1])) <= overlap for k in kept):
            kept.append(index)
    return kept


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.sampled_from([0.2, 0.45, 0.7]))
def test_suppression_keeps_what_a_plain_loop_keeps(seed: int, dims: int, overlap: float) -> None:
    boxes, scores = draw_boxes(seed, 25, dims), torch.rand(25, generator=torch.Generator().manual_seed(seed))
    kept = non_maximum_suppression(boxes, scores, overlap=overlap)
    assert kept.tolist() == slow_suppression(boxes, scores, overlap)
    order = torch.randperm(25, generator=torch.Generator().manual_seed(seed))
    again = non_maximum_suppression(boxes[order], scores[order], overlap=overlap)
    assert order[again].tolist() == kept.tolist()
    assert non_maximum_suppression(boxes, scores, overlap=overlap, limit=3).tolist() == kept[:3].tolist()


def test_classes_leave_one_another_alone() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2]]).repeat(4, 1)
    scores, classes = torch.tensor([0.1, 0.9, 0.5, 0.7]), torch.tensor([0, 1, 1, 0])
    assert non_maximum_suppression(boxes, scores, classes=classes).tolist() == [1, 3]
    assert non_maximum_suppression(boxes[:0], scores[:0], classes=classes[:0]).tolist() == []
    assert non_maximum_suppression(boxes[:0], scores[:0]).tolist() == []
    with pytest.raises(InputError, match="must have a score"):
        non_maximum_suppression(boxes, scores[:2])


def test_clipping_keeps_what_lies_inside() -> None:
    boxes = torch.tensor([[-2.0, 1, 3, 9], [20, 20, 30, 30]])
    assert clip(boxes, torch.tensor([10.0, 5.0])).tolist() == [[0, 1, 3, 5], [10, 5, 10, 5]]
    assert content(clip(boxes, torch.tensor([10.0, 5.0]))).tolist() == [12, 0]


def test_anchors_of_volumes_and_pyramids_lie_where_positions_do() -> None:
    boxes, cells = grid_anchors([2], ratios=[(1.0, 1.0, 1.0)])
    assert boxes.shape == (8, 6)
    assert cells.unique().tolist() == [0.5]
    assert boxes[1].tolist() == [0.5, 0.0, 0.0, 1.0, 0.5, 0.5]  # the last axis, x, varies fastest
    anchors = pyramid_anchors((40, 24), strides=(8, 16), scales=(1.0,))
    assert len(anchors) == (5 * 3 + 3 * 2) * 3
    centre, size = centre_and_size(anchors)
    assert centre[:3].tolist() == [[4.0, 4.0]] * 3
    assert centre[3].tolist() == pytest.approx([12.0, 4.0])
    assert torch.allclose(content(anchors[:45]), torch.tensor(32.0**2))
    assert torch.allclose(size[:3, 1] / size[:3, 0], torch.tensor([0.5, 1.0, 2.0]))
    cubes = pyramid_anchors((16, 8, 8), strides=(8,), scales=(1.0,))
    assert cubes.shape == (2 * 4, 6)
    assert torch.allclose(content(cubes), torch.tensor(32.0**3))
    boxes, cells = grid_anchors([(2, 4)])  # two rows of four
    assert boxes[1].tolist() == [0.25, 0.0, 0.5, 0.5]
    assert cells.unique(dim=0).tolist() == [[0.25, 0.5]]
    with pytest.raises(InputError, match="2 or 3 factors"):
        grid_anchors([2], ratios=[(1.0,)])
