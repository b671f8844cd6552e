"""The lecture's detector: what it gives lies where its anchors lie, and it learns to find."""

import pytest
import torch

from saccade.errors import InputError
from saccade.layers.boxes import centre_and_size, decode_within_cell, jaccard, non_maximum_suppression
from saccade.losses import Objects, lecture_loss
from saccade.networks.ssd import SSD, AnchorHead

SMALL = {"channels": (4, 8, 8, 16), "blocks": (1, 1, 1, 1), "width": 16}


@pytest.mark.parametrize(
    ("dims", "shape", "maps", "count"),
    [
        (2, (224, 224), 1, 16 * 3),
        (2, (224, 224), 3, 21 * 3),
        (2, (130, 70), 2, (3 * 2 + 2 * 1) * 3),
        (3, (64, 40, 33), 1, 4),
    ],
)
def test_there_is_an_anchor_for_each_score(dims, shape, maps, count):
    network = SSD(1, 5, spatial_dims=dims, maps=maps, **SMALL).eval()
    scores, boxes = network(torch.randn(2, 1, *shape))
    anchors, cells = network.anchors(shape)
    assert scores.shape == (2, len(anchors), 5)
    assert boxes.shape == (2, len(anchors), 2 * dims)
    assert cells.shape == (len(anchors), dims)
    assert len(anchors) == count
    centre, _ = centre_and_size(anchors)
    assert ((centre > 0) & (centre < 1)).all()


def test_scores_follow_one_another_as_anchors_do():
    head = AnchorHead(2, 3, 4)
    for conv in (head.scores, head.boxes):
        torch.nn.init.zeros_(conv.weight)
    head.scores.bias.data = torch.arange(12.0)  # three classes of each of four anchors
    head.scores.weight.data[:, 0, 1, 1] = 100.0
    x = torch.zeros(1, 2, 3, 5)
    x[0, 0, 2, 1] = 1.0
    scores, _ = head(x)
    place = 2 * 5 + 1
    assert scores[0, 4 * place : 4 * place + 4].tolist() == (torch.arange(12.0) + 100).reshape(4, 3).tolist()
    assert scores[0, :4].tolist() == torch.arange(12.0).reshape(4, 3).tolist()


@pytest.mark.parametrize(("maps", "bias", "dropped"), [(1, -3.0, 0.25), (3, -4.0, 0.4)])
def test_starts_as_the_lecture_does(maps, bias, dropped):
    network = SSD(3, 20, maps=maps, **SMALL)
    assert {value for head in network.heads for value in head.scores.bias.tolist()} == {bias}
    assert network.dropout.p == dropped
    order = [type(part).__name__ for part in network.start.children()]
    assert order == ["Conv2d", "BatchNorm2d", "Dropout"]  # the ReLU stands before the norm
    start, x = network.start.eval(), torch.randn(1, 16, 7, 7)
    assert torch.equal(start.norm(torch.relu(start.conv(x))), start(x))


@pytest.mark.parametrize("dims", [2, 3])
def test_learns_to_find_the_objects_of_an_image(dims):
    torch.manual_seed(0)
    side = {2: 96, 3: 66}[dims]
    shape = (side,) * dims
    network = SSD(1, 2, spatial_dims=dims, maps=1, dropout=0.0, **SMALL)
    anchors, cells = network.anchors(shape)
    boxes = torch.tensor([[0.05] * dims + [0.45] * dims, [0.55] * dims + [0.9] * dims])
    image = torch.zeros(1, 1, *shape)
    for box, value in zip(boxes, (1.0, -1.0), strict=True):
        low, high = ((box * side).long().tolist()[start : start + dims] for start in (0, dims))
        image[(0, 0, *(slice(a, b) for a, b in zip(low, high, strict=True)))] = value
    objects = [Objects(boxes, torch.tensor([0, 1]))]
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = lecture_loss(*network(image), objects, anchors, cells).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    scores, activations = network(image)
    found = decode_within_cell(activations[0], anchors, cells)
    chance, kind = scores[0].sigmoid().max(1)
    sure = chance > 0.5
    kept = non_maximum_suppression(found[sure], chance[sure], overlap=0.4, classes=kind[sure])
    assert sorted(kind[sure][kept].tolist()) == [0, 1]
    for index in kept:
        assert jaccard(found[sure][index][None], boxes)[0, kind[sure][index]] > 0.7


def test_refuses_one_dimension_and_other_backbones():
    with pytest.raises(InputError, match="2 or 3 dimensions"):
        SSD(1, 2, spatial_dims=1, **SMALL)
    with pytest.raises(InputError, match="four stages"):
        SSD(1, 2, channels=(4, 8), blocks=(1, 1))
    with pytest.raises(InputError, match="out_channels"):
        SSD(1, 0, **SMALL)
