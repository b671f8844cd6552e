"""Images and their boxes changed together: identity, inverses, boxes around what was moved, and the lecture's masks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.tasks.augment import View, take_view
from saccade.tasks.detection.augment import (
    BoxAugmentation,
    augment,
    lecture_lighting,
    move_boxes,
    visible_part,
)

STILL = BoxAugmentation(probability=0.0)
STRONG = BoxAugmentation(
    probability=1.0, rotation_degrees=40, scale=(0.7, 1.4), shift_fraction=0.1, flip_axes=(0, 1), crop=0.6,
    min_visible=0.0, noise=0.1, brightness=0.2, contrast=(0.9, 1.1),
)  # fmt: skip
MOVING = STRONG.model_copy(update={"noise": 0.0, "brightness": 0.0, "contrast": (1.0, 1.0)})
SHAPES = [(31, 43), (19, 23, 29)]
shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 10**6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_boxes(shape: tuple[int, ...], seed: int, count: int = 5, whole: bool = False) -> torch.Tensor:
    """Boxes within the image, of whole pixels if asked."""
    sides = torch.tensor(shape[::-1])
    low = torch.rand(count, len(shape), generator=rng(seed)) * (sides - 6)
    high = low + 3 + torch.rand(count, len(shape), generator=rng(seed + 1)) * (sides - 3 - low)
    boxes = torch.cat([low, torch.minimum(high, sides)], 1)
    return boxes.floor() if whole else boxes


def paint(shape: tuple[int, ...], box: torch.Tensor) -> torch.Tensor:
    """1 within a box of whole pixels, 0 elsewhere; a picture becomes a volume of one slice."""
    mask = torch.zeros(shape, dtype=torch.uint8)
    low, high = box.int().tolist()[: len(shape)][::-1], box.int().tolist()[len(shape) :][::-1]
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return mask if mask.ndim == 3 else mask[..., None]


def turn(degrees: float, zoom: float = 1.0) -> torch.Tensor:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    return torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def middle(shape: tuple[int, ...]) -> tuple[float, ...]:
    return tuple((n - 1) / 2 for n in (*shape, 1)[:3])


def inside(points: torch.Tensor, box: torch.Tensor, slack: float = 1e-3) -> bool:
    """Whether all pixels, in the order of the array's axes, have their middle in a box, which has x first."""
    low, high = box.chunk(2)
    places = points[:, : len(low)].flip(-1) + 0.5
    return bool(((places >= low - slack) & (places <= high + slack)).all())


@settings(max_examples=20, deadline=None)
@given(seeds, shapes)
def test_nothing_drawn_changes_nothing(seed, shape) -> None:
    image, boxes = torch.randn(2, *shape, generator=rng(seed)), draw_boxes(shape, seed)
    changed, moved, kept = augment(image, boxes, STILL, rng(seed))
    assert torch.equal(changed, image)
    assert torch.equal(moved, boxes)
    assert kept.tolist() == [0, 1, 2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(seeds, shapes, st.sets(st.integers(0, 2)))
def test_mirrored_twice_is_as_before_and_once_is_as_the_array(seed, shape, axes) -> None:
    flips = tuple(axis for axis in axes if axis < len(shape))
    view, boxes = View(middle(shape), None, flips=flips), draw_boxes(shape, seed, whole=True)
    moved = move_boxes(view, boxes, shape)
    torch.testing.assert_close(move_boxes(view, moved, shape), boxes)
    for before, after in zip(boxes, moved, strict=True):
        assert torch.equal(paint(shape, after), paint(shape, before).flip(list(flips)))


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from([(27, 27), (15, 15, 15)]))
def test_four_quarter_turns_are_as_before_and_one_is_as_the_array(seed, shape) -> None:
    view, boxes = View(middle(shape), turn(90)), draw_boxes(shape, seed, whole=True)
    moved = move_boxes(view, boxes, shape)
    for before, after in zip(boxes, moved, strict=True):
        # (0, 1) in the view is (-1, 0) in the image: what was above is on the right
        assert torch.equal(paint(shape, after.round()), paint(shape, before).rot90(-1, (0, 1)))
    for _ in range(3):
        moved = move_boxes(view, moved, shape)
    torch.testing.assert_close(moved, boxes, atol=1e-3, rtol=0)


@settings(max_examples=20, deadline=None)
@given(seeds, shapes, st.floats(0.5, 2))
def test_a_view_and_its_inverse_give_scaled_and_shifted_boxes_back(seed, shape, zoom) -> None:
    boxes, shift = draw_boxes(shape, seed), torch.tensor([2.5, -1.25, 0.75][: len(shape)] + [0.0] * (3 - len(shape)))
    there = View(tuple((torch.tensor(middle(shape)) + shift).tolist()), torch.eye(3) / zoom)
    back = View(tuple((torch.tensor(middle(shape)) - zoom * shift).tolist()), torch.eye(3) * zoom)
    torch.testing.assert_close(move_boxes(back, move_boxes(there, boxes, shape), shape), boxes, atol=1e-3, rtol=0)


@settings(max_examples=40, deadline=None)
@given(seeds, shapes)
def test_a_box_holds_all_that_it_held(seed, shape) -> None:
    box = 1 + draw_boxes(tuple(n - 2 for n in shape), seed, 1, whole=True)[0]  # what touches the border goes on there
    mask = paint(shape, box)
    image = mask.float()[None] if len(shape) == 3 else mask.float()[None, ..., 0]
    changed, moved, kept = augment(image, box[None], MOVING, rng(seed), spacing=[1.0, 2.0, 0.5][: len(shape)])
    bright = torch.nonzero(changed[0] > 0.5)  # an edge between 0 and 1 is where their interpolation is one half
    if len(kept):
        assert inside(bright, moved[0])
        sides = torch.tensor(shape[::-1] * 2)
        assert ((moved[0] >= 0) & (moved[0] <= sides)).all()
    else:
        assert len(bright) == 0


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(-60, 60), st.floats(0.8, 1.5))
def test_against_the_lectures_masks(seed, degrees, zoom) -> None:
    """The lecture paints each box as 0 and 1, turns that with nearest neighbours, and takes its rows and columns."""
    shape = (61, 71)
    (box,) = 20 + draw_boxes((21, 31), seed, 1, whole=True)
    mask, view = paint(shape, box), View(middle(shape), turn(degrees, zoom))
    _, turned = take_view(view, mask[None].float(), mask, (*shape, 1))
    points = torch.nonzero(turned)[:, :2].flip(-1).float()
    hull, part = visible_part(move_boxes(view, box[None], shape), shape)
    by_mask = torch.cat([points.amin(0), points.amax(0) + 1])
    if part[0] == 1:
        # a mask ends up to a pixel early in a slanted corner
        assert (by_mask - hull[0]).abs().max() < 2
    low, high = hull[0].chunk(2)
    assert (points + 0.5 >= low - 1e-3).all()
    assert (points + 0.5 <= high + 1e-3).all()


def test_the_smallest_box_around_a_turned_one_by_hand() -> None:
    # a square of side 20 around the middle of 41 x 61, turned by 45 degrees: its diagonal is 20 sqrt(2) long
    box = torch.tensor([[20.5, 10.5, 40.5, 30.5]], dtype=torch.float64)
    (turned,) = move_boxes(View((20.0, 30.0, 0.0), turn(45)), box, (41, 61))
    half = 10 * math.sqrt(2)
    expected = torch.tensor([30.5 - half, 20.5 - half, 30.5 + half, 20.5 + half], dtype=torch.float64)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_a_rotation_is_one_in_space() -> None:
    # pixels twice as high as wide: what is 6 columns wide is, upright, 3 rows high
    image, box = torch.zeros(1, 40, 80), torch.tensor([[37.0, 19.0, 43.0, 21.0]])
    quarter = BoxAugmentation(probability=1.0, rotation_degrees=90, scale=(1, 1), min_visible=0)
    heights = [
        float(augment(image, box, quarter, rng(seed), spacing=(2.0, 1.0))[1][0] @ torch.tensor([0.0, -1, 0, 1]))
        for seed in range(40)
    ]
    widths = [
        float(augment(image, box, quarter, rng(seed), spacing=(2.0, 1.0))[1][0] @ torch.tensor([-1.0, 0, 1, 0]))
        for seed in range(40)
    ]
    # hull of 6 x 4 in space, turned by a: 6 |sin a| + 4 |cos a| high; in rows that is half
    for height, width in zip(heights, widths, strict=True):
        across, along = width, 2 * height
        angle = math.atan2(along * 6 - across * 4, across * 6 - along * 4)
        assert across == pytest.approx(6 * math.cos(angle) + 4 * math.sin(angle), abs=1e-3)
        assert along == pytest.approx(6 * math.sin(angle) + 4 * math.cos(angle), abs=1e-3)
    assert max(heights) > 3.2  # more than half of the longest possible


def test_boxes_go_when_too_little_of_them_is_left() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 4], [6.0, 0, 10, 4], [9.0, 0, 10, 4], [3.0, 3, 3, 5]])
    moved = move_boxes(View((4.5, 11.5, 0.0), torch.eye(3)), boxes, (10, 20))  # 2 columns to the left
    assert moved.tolist()[:2] == [[-2, 0, 6, 4], [4, 0, 8, 4]]
    seen, part = visible_part(moved, (10, 20))
    assert seen[0].tolist() == [0, 0, 6, 4]
    assert part.tolist() == [0.75, 1, 1, 0]
    image = torch.zeros(1, 10, 20)
    for least, expected in ((0.0, [0, 1]), (0.25, [0, 1]), (0.26, [1]), (1.0, [1])):
        # the first sticks out with three quarters of itself, the third is empty, the fourth outside
        given = torch.tensor([[-12.0, 0, 4, 4], [5.0, 5, 9, 8], [7.0, 2, 7, 6], [25.0, 0, 30, 4]])
        still = STILL.model_copy(update={"min_visible": least})
        _, kept, numbers = augment(image, given, still, rng())
        assert numbers.tolist() == expected
        assert len(kept) == len(expected)


def test_images_without_objects() -> None:
    changed, boxes, kept = augment(torch.rand(3, 9, 11), torch.zeros(0, 4), STRONG, rng(3))
    assert (changed.shape, boxes.shape, kept.shape) == ((3, 9, 11), (0, 4), (0,))


def test_the_same_seed_draws_the_same_and_the_global_generator_stays() -> None:
    image, boxes = torch.rand(1, 23, 31, generator=rng(1)), draw_boxes((23, 31), 2)
    before = torch.random.get_rng_state()
    one, again, other = (augment(image, boxes, STRONG, rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])


def test_crops_lie_within_the_image_and_are_as_large_as_they_may() -> None:
    ramp = torch.stack(torch.meshgrid(torch.arange(40) + 0.5, torch.arange(60) + 0.5, indexing="ij")).float()
    box = torch.tensor([[0.0, 0, 60, 40]])
    cropping = BoxAugmentation(probability=1.0, rotation_degrees=0, scale=(1, 1), crop=0.5, min_visible=0)
    parts = []
    for seed in range(100):
        changed, moved, _ = augment(ramp, box, cropping, rng(seed))
        steps = changed[:, 20, 30] - changed[:, 19, 29]  # pixels of the image in one of the view
        assert float(steps[0]) == pytest.approx(float(steps[1]), abs=1e-3)
        parts.append(float(steps[0]))
        assert moved[0].tolist() == pytest.approx([0, 0, 60, 40], abs=1e-3)  # nothing beyond the border is shown
    assert 0.5 <= min(parts) < 0.52
    assert 0.97 < max(parts) <= 1.001
    seldom = cropping.model_copy(update={"probability": 0.3})
    cropped = [not torch.equal(augment(ramp, box, seldom, rng(seed))[0], ramp) for seed in range(120)]
    assert 40 < sum(cropped) < 82  # either of turning and cropping: 1 - 0.7^2 of them


def test_lighting_by_hand() -> None:
    image = torch.tensor([[[0.0, 0.2, 0.4, 1.0]]])  # mean 0.4
    up, down = lecture_lighting(image, 0.1, 0.5), lecture_lighting(image, 0.0, -1.0)
    torch.testing.assert_close(up, torch.tensor([[[0.0, 0.2, 0.5, 1.0]]]))  # 1.5 (x - 0.4) + 0.5: -0.1, 0.2, 0.5, 1.4
    torch.testing.assert_close(down, torch.tensor([[[0.2, 0.3, 0.4, 0.7]]]))  # 0.5 (x - 0.4) + 0.4
    lit = BoxAugmentation(probability=0, lecture_lighting=(0.05, 0.0))
    drawn = [float(augment(image, torch.zeros(0, 4), lit, rng(seed))[0][0, 0, 2]) for seed in range(120)]
    assert 0.35 <= min(drawn) < 0.36
    assert 0.44 < max(drawn) <= 0.45
    spread = BoxAugmentation(probability=0, lecture_lighting=(0.0, 0.5))
    drawn = [float(augment(image, torch.zeros(0, 4), spread, rng(seed))[0][0, 0, 1]) for seed in range(120)]
    assert 0.1 <= min(drawn) < 0.105  # 1.5 (0.2 - 0.4) + 0.4
    assert 0.26 < max(drawn) <= 0.4 - 0.2 / 1.5 + 1e-6
