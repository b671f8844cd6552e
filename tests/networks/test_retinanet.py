"""RetinaNet: an anchor for each score on any grid, the paper's start, and that it learns to find small objects."""

import pytest
import torch

from saccade.errors import InputError
from saccade.layers.boxes import decode, jaccard, non_maximum_suppression
from saccade.losses import Objects, focal_detection_loss, focal_loss
from saccade.networks.retinanet import FeaturePyramid, RetinaNet

SMALL = {"channels": (4, 8, 8, 16), "blocks": (1, 1, 1, 1), "width": 8, "depth": 1}


@pytest.mark.parametrize(
    ("dims", "shape", "settings", "strides"),
    [
        (2, (128, 96), {}, (8, 16, 32, 64, 128)),
        (2, (67, 131), {"finest": 0, "extra": 0}, (4, 8, 16, 32)),
        (2, (40, 33), {"finest": 2, "extra": 1, "stem": "small"}, (4, 8, 16)),
        (3, (40, 33, 24), {"finest": 3, "extra": 0}, (32,)),
    ],
)
def test_there_is_an_anchor_for_each_score(dims, shape, settings, strides):
    network = RetinaNet(1, 3, spatial_dims=dims, **SMALL, **settings).eval()
    scores, offsets = network(torch.randn(2, 1, *shape))
    anchors = network.anchors(shape)
    assert network.strides == strides
    assert scores.shape == (2, len(anchors), 3)
    assert offsets.shape == (2, len(anchors), 2 * dims)


def test_starts_with_a_chance_of_one_in_a_hundred():
    network = RetinaNet(1, 3, **SMALL).eval()
    scores, offsets = network(torch.randn(1, 1, 64, 64))
    assert scores.sigmoid().mean().item() == pytest.approx(0.01, rel=0.05)
    assert offsets.abs().max() < 0.1


def test_coarse_maps_reach_the_finer_ones_but_not_the_other_way():
    pyramid = FeaturePyramid((2, 3, 4), 5, extra=2, spatial_dims=2)
    maps = [torch.randn(1, c, s, s, requires_grad=True) for c, s in ((2, 16), (3, 8), (4, 4))]
    found = pyramid(maps)
    assert [y.shape[2] for y in found] == [16, 8, 4, 2, 1]
    assert [y.shape[1] for y in found] == [5] * 5
    for number, y in enumerate(found):
        reached = torch.autograd.grad(y.sum(), maps, retain_graph=True, allow_unused=True)
        known = [g is not None for g in reached]
        assert known == [n >= min(number, 2) for n in range(3)]


def test_learns_to_find_small_objects():
    torch.manual_seed(0)
    network = RetinaNet(1, 2, finest=0, extra=0, base=3, **{**SMALL, "width": 16})
    anchors = network.anchors((64, 64))
    boxes = torch.tensor([[6.0, 8, 18, 20], [40, 10, 54, 22], [20, 40, 32, 56]])
    image = torch.zeros(1, 1, 64, 64)
    for (x1, y1, x2, y2), value in zip(boxes.long().tolist(), (1.0, -1.0, 1.0), strict=True):
        image[0, 0, y1:y2, x1:x2] = value
    objects = [Objects(boxes, torch.tensor([0, 1, 0]))]
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(150):
        scores, offsets = network(image)
        loss = focal_detection_loss(scores, offsets, objects, anchors, class_loss=focal_loss)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    scores, offsets = network(image)
    chance, kind = scores[0].sigmoid().max(1)
    sure = chance > 0.4
    found = decode(offsets[0], anchors, variance=(1.0, 1.0))[sure]
    kept = non_maximum_suppression(found, chance[sure], overlap=0.3, classes=kind[sure])
    assert sorted(kind[sure][kept].tolist()) == [0, 0, 1]
    assert (jaccard(found[kept], boxes).max(0).values > 0.6).all()


def test_refuses_what_it_cannot_be():
    with pytest.raises(InputError, match="finest stage of 0 to 3, got 2 and 4"):
        RetinaNet(1, 2, finest=4, **SMALL)
    with pytest.raises(InputError, match="2 or 3 dimensions"):
        RetinaNet(1, 2, spatial_dims=1, **SMALL)
