"""The lesion describer: anchors, proposals and regions fit together, and what is apart learns apart."""

import math

import pytest
import torch

from saccade.errors import InputError
from saccade.networks.lesion_describer import LesionDescriber, Regions

SMALL = {"channels": (4, 6, 8), "convolutions": (1, 1, 1), "width": 3, "hidden": 8, "descriptors": (3, 2)}


@pytest.mark.parametrize(("dims", "shape"), [(2, (41, 67)), (3, (12, 17, 22))])
def test_every_anchor_has_a_score_and_proposals_lie_in_the_image(dims, shape) -> None:
    torch.manual_seed(0)
    network = LesionDescriber(1, 3, spatial_dims=dims, sides=(6.0, 12.0), proposals=7, **SMALL).eval()
    maps = network.see(torch.randn(2, 1, *shape))
    anchors = network.anchors(maps)
    positions = torch.tensor([n // 4 for n in shape]).prod().item()
    assert len(anchors) == positions * 2 * (1 + dims)
    assert maps.scores.shape == (2, len(anchors))
    assert maps.offsets.shape == (2, len(anchors), 2 * dims)
    said = network(torch.randn(2, 1, *shape))
    assert all(1 <= len(boxes) <= 7 for boxes in said.boxes)
    for boxes in said.boxes:
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor(list(reversed(shape)) * 2)).all()
        assert not boxes.requires_grad
    regions = sum(map(len, said.boxes))
    assert said.classes.shape == (regions, 3)
    assert said.offsets.shape == (regions, 2 * dims)
    assert [tuple(scores.shape) for scores in said.descriptors] == [(regions, 3), (regions, 2)]


def reached(network: LesionDescriber, of: str) -> set[str]:
    """Parts of the network that a loss of classes or of descriptors teaches."""
    network.zero_grad()
    maps = network.see(torch.randn(2, 1, 32, 32))
    said = network.read(maps, [torch.tensor([[2.0, 3, 20, 22]])] * 2)
    (said.classes.sum() if of == "classes" else sum(scores.square().sum() for scores in said.descriptors)).backward()
    return {
        name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }


def test_a_shared_trunk_learns_from_both_and_separate_ones_each_from_its_own() -> None:
    torch.manual_seed(0)
    shared, apart = (LesionDescriber(1, 2, shared=shared, **SMALL) for shared in (True, False))
    assert reached(shared, "classes") == {"trunk", "reader", "classes"}
    assert reached(shared, "descriptors") == {"trunk", "reader", "words"}
    assert reached(apart, "classes") == {"trunk", "reader", "classes"}
    assert reached(apart, "descriptors") == {"second_trunk", "second_reader", "words"}


def test_a_region_keeps_its_size_and_proportions() -> None:
    """On an even picture regions differ in their lengths alone, which a cut of 7 x 7 cells has lost."""
    torch.manual_seed(0)
    network = LesionDescriber(1, 2, **SMALL).eval()
    maps = network.see(torch.zeros(1, 1, 64, 64))
    flat = [torch.full_like(x, 0.3) for x in maps.for_regions]
    boxes = torch.tensor([[20.0, 20, 40, 40], [24.0, 24, 44, 44], [20, 20, 40, 50], [15, 15, 45, 45]])
    same, moved, longer, larger = network.reader(flat, [boxes])
    torch.testing.assert_close(same, moved)
    assert (same - longer).abs().max() > 1e-3
    assert (same - larger).abs().max() > 1e-3


def test_what_lies_around_is_seen_as_far_as_asked_for() -> None:
    torch.manual_seed(0)
    tight, wide = (LesionDescriber(1, 2, around=around, **SMALL).reader for around in (1.0, 2.0))
    maps = [torch.zeros(1, 6, 32, 32), torch.zeros(1, 8, 16, 16)]
    box = [torch.tensor([[24.0, 24, 40, 40]])]  # positions 12 to 20 of the finer map, 8 to 24 twice as wide
    changed = [maps[0].clone(), maps[1]]
    changed[0][:, :, 9, 9] = 5.0
    assert torch.equal(tight(maps, box), tight(changed, box))
    assert not torch.equal(wide(maps, box), wide(changed, box))


def test_proposals_are_the_surest_without_duplicates() -> None:
    network = LesionDescriber(1, 2, sides=(8.0,), **SMALL).eval()
    with torch.no_grad():
        maps = network.see(torch.zeros(1, 1, 32, 32))
        maps.offsets.zero_()
        maps.scores.fill_(-5.0)
        maps.scores[0, [10, 100]] = torch.tensor([2.0, 3.0])
    best = network.propose(maps, most=2)[0]
    torch.testing.assert_close(best, network.anchors(maps)[[100, 10]].clamp(0, 32))
    assert len(network.propose(maps, most=500, overlap=0.0)[0]) <= 16 < len(network.propose(maps, most=500)[0])


def test_refined_boxes_are_where_the_offsets_of_each_image_lead() -> None:
    """A tenth of the offset in lengths of the box, e to a fifth of it in size; cut at the border of 32."""
    network = LesionDescriber(1, 2, **SMALL).eval()
    maps = network.see(torch.zeros(2, 1, 32, 32))
    boxes = (torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[4.0, 4, 24, 24]] * 2))
    offsets = torch.tensor([[1.0, 0, 0, 0], [0, 0, 5 * math.log(2), 0], [0, 0, 0, 0]])
    first, second = network.refine(maps, Regions(boxes, torch.zeros(3, 2), offsets, ()))
    torch.testing.assert_close(first, torch.tensor([[1.0, 0, 11, 20]]))
    torch.testing.assert_close(second, torch.tensor([[0.0, 4, 32, 24], [4.0, 4, 24, 24]]))


def test_refuses_what_it_cannot_be() -> None:
    with pytest.raises(InputError, match=r"cut from at most 3 maps, got 2 and 4\.$"):
        LesionDescriber(1, 2, cut_from=4, **SMALL)
    with pytest.raises(InputError, match="2 or 3 dimensions"):
        LesionDescriber(1, 2, spatial_dims=1, **SMALL)
    with pytest.raises(InputError, match="hidden must be at least 1, got 0"):
        LesionDescriber(1, 2, **{**SMALL, "hidden": 0})
