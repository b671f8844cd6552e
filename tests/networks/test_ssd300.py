"""SSD300 and the whole-image steps: boxes of the paper, torchvision's names, what each argument does."""

import pytest
import torch

from saccade.errors import InputError
from saccade.networks.ssd300 import SSD300, ScaledNorm
from saccade.networks.vgg import VGG
from saccade.networks.whole_image import WholeImage


def test_maps_and_boxes_are_the_papers() -> None:
    with torch.device("meta"):
        network = SSD300(3, 21)
    assert network.grids == [38, 19, 10, 5, 3, 1]
    assert sum(p.numel() for p in network.parameters()) == 26_285_486  # of the released network for VOC
    boxes = SSD300(3, 21, width=0.01).anchors()
    assert len(boxes) == 8732
    # the first position of conv4_3: squares of 30 and sqrt(30 * 60), then 1:2 and 2:1, cut at the border
    centre = (boxes[:4, :2] + boxes[:4, 2:]) / 2 * 300
    torch.testing.assert_close(centre, torch.full((4, 2), 4.0))
    size = (boxes[:4, 2:] - boxes[:4, :2]) * 300
    root = 2**0.5
    expected = [[30, 30], [30 * root, 30 * root], [30 * root, 30 / root], [30 / root, 30 * root]]
    torch.testing.assert_close(size, torch.tensor(expected))
    last = boxes[-4:][0] * 300  # the only position of the last map: 264 wide in the middle of the image
    torch.testing.assert_close(last, torch.tensor([18.0, 18, 282, 282]))


@pytest.mark.parametrize("size", [32, 64, 96, 150, 212])
def test_other_sizes_have_as_many_boxes_as_scores(size) -> None:
    network = SSD300(1, 3, size=size, width=0.02, norm="batch").eval()
    scores, offsets = network(torch.randn(1, 1, size, size))
    boxes = network.anchors()
    assert scores.shape == (1, len(boxes), 3)
    assert offsets.shape == (1, len(boxes), 4)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    torch.testing.assert_close(middle.min(), torch.tensor(0.5 / network.grids[0]))
    torch.testing.assert_close(middle.max(), torch.tensor(1 - 0.5 / network.grids[0]))


def test_the_trunk_has_torchvisions_names() -> None:
    published = {f"features.{name}": value for name, value in VGG(3, 1, norm=None).features.state_dict().items()}
    with torch.device("meta"):
        own = SSD300(3, 21).state_dict()
    assert {name: value.shape for name, value in own.items() if name.startswith("features")} == {
        name: value.shape for name, value in published.items()
    }


def test_a_scaled_norm_has_vectors_of_one_length() -> None:
    x = torch.randn(2, 5, 3, 7)
    torch.testing.assert_close(ScaledNorm(5, 20.0)(x).norm(dim=1), torch.full((2, 3, 7), 20.0))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"^SSD300: size must be at least 32 and width above 0, got 20 and 1\.0\.$"):
        SSD300(3, 21, size=20)
    network = SSD300(1, 2, size=32, width=0.02)
    with pytest.raises(InputError, match=r"^SSD300: images must be 32 x 32, got \(32, 40\)\.$"):
        network(torch.randn(1, 1, 32, 40))


@pytest.mark.parametrize("size", [(40, 64), (24, 16, 20)])
def test_a_whole_image_has_a_box_within_it(size) -> None:
    network = WholeImage(1, 3, size=size, channels=(2, 4, 4, 8), blocks=(1, 1, 1, 1), stem="small", width=5).eval()
    scores, box = network(torch.randn(2, 1, *size))
    assert (scores.shape, box.shape) == ((2, 3), (2, 2 * len(size)))
    assert box.min() > 0
    assert box.max() < 1
    without = WholeImage(1, 3, size=size, channels=(2, 4, 4, 8), blocks=(1, 1, 1, 1), box=False, width=5).eval()
    assert without(torch.randn(2, 1, *size))[1].shape == (2, 0)
