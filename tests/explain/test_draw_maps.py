"""`draw`: the kind chooses the picture, what is drawn is what the map says, and what cannot be drawn is refused."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from torch.nn import functional as F

import saccade
from saccade.attention import BAM, CBAM, AttentionMap, SpatialSqueezeExcitation, VisualAttention
from saccade.errors import InputError
from saccade.explain import Picture, draw
from saccade.explain.draw_picture import make_scene, resample
from saccade.explain.render import grey_window, overlay, planes


def spatial(values: np.ndarray) -> AttentionMap:
    return AttentionMap("spatial", [torch.tensor(values)], tuple(values.shape[2:]))


def shown(axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


@pytest.mark.parametrize(("grid", "shape"), [((5, 7), (10, 21)), ((5, 7), (11, 5)), ((2, 3, 5), (7, 3, 11))])
def test_a_map_is_brought_to_the_image_as_a_network_would(grid, shape) -> None:
    values = np.random.default_rng(1).random(grid)
    mode = "bilinear" if len(grid) == 2 else "trilinear"
    there = F.interpolate(torch.tensor(values)[None, None], shape, mode=mode, align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(resample(values, shape), there, atol=1e-12)
    for axis in range(len(grid)):
        thin = resample(values, shape, at=(axis, 2))
        np.testing.assert_allclose(thin, np.take(there, [2], axis), atol=1e-12)


def test_a_map_lies_on_the_image_the_right_way_up() -> None:
    """One position of a 3 x 2 map is 1: lower left, which covers rows 8 to 11 and columns 0 to 4 of a 12 x 10 image."""
    values = np.zeros((1, 1, 3, 2))
    values[0, 0, 2, 0] = 1
    figure = draw(spatial(values), np.zeros((12, 10)), limits=(0, 1))
    colours = shown(figure.axes[0]).sum(-1)
    assert colours.shape == (12, 10)
    assert colours[10:, :2].min() > 0
    assert colours[:6].max() == 0
    assert colours[:, 8:].max() == 0
    assert np.unravel_index(colours.argmax(), colours.shape) == (10, 0)


def test_the_colours_are_those_of_overlay_on_the_image() -> None:
    draws = np.random.default_rng(2)
    values, image = draws.random((2, 1, 11, 7)), draws.random((2, 1, 11, 7))
    figure = draw(spatial(values), torch.tensor(image), item=1)
    picture = make_scene(image, 2, 1, "it").levels.mean(-1)
    np.testing.assert_allclose(shown(figure.axes[0]), overlay(picture, values[1, 0], limits=(0.0, 1.0)))
    assert figure.axes[0].images[0].get_extent() == [0, 7, 11, 0]


def test_a_volume_is_cut_into_radiological_planes_through_the_strongest_voxel() -> None:
    draws = np.random.default_rng(3)
    volume, values = draws.random((13, 11, 7)), np.full((1, 1, 13, 11, 7), 0.1)
    values[0, 0, 9, 2, 5] = 1
    figure = draw(spatial(values), Picture(volume, spacing_mm=(1, 2, 3), window=(0, 1)))
    cuts = planes(volume, (9, 2, 5))
    coloured = planes(values[0, 0], (9, 2, 5))
    for axes, grey, one in zip(figure.axes, cuts, coloured, strict=False):
        np.testing.assert_allclose(shown(axes), overlay(grey, one, limits=(0.0, 1.0)))
    extents = [axes.images[0].get_extent() for axes in figure.axes[:3]]
    assert extents == [[0, 13, 22, 0], [0, 13, 21, 0], [0, 22, 21, 0]]
    assert [text.get_text() for text in figure.axes[1].texts] == ["R", "S", "coronal"]
    chosen = draw(spatial(values), Picture(volume, centre=(1, 3, 4), window=(0, 1)))
    np.testing.assert_allclose(shown(chosen.axes[1]), overlay(planes(volume, (1, 3, 4)).coronal, np.full((7, 13), 0.1),
                                                              limits=(0.0, 1.0)))  # fmt: skip


def test_a_coarse_map_is_cut_where_the_picture_is_cut() -> None:
    values = np.random.default_rng(4).random((1, 1, 5, 3, 2))
    volume = np.zeros((10, 9, 8))
    figure = draw(spatial(values), Picture(volume, centre=(6, 1, 5)))
    whole = resample(values[0, 0], volume.shape)
    for axes, one in zip(figure.axes, planes(whole, (6, 1, 5)), strict=False):
        np.testing.assert_allclose(shown(axes), overlay(np.zeros(one.shape), one, limits=(0.0, 1.0)), atol=1e-12)


def test_of_several_maps_the_mean_or_the_one_asked_for() -> None:
    values, image = np.random.default_rng(5).random((1, 3, 5, 7)), np.zeros((5, 7))
    for index, one, title in [(None, values[0].mean(0), "mean of 3 maps"), (2, values[0, 2], "map 2 of 3")]:
        figure = draw(spatial(values), image, index=index)
        np.testing.assert_allclose(shown(figure.axes[0]), overlay(image, one, limits=(0.0, 1.0)))
        assert [text.get_text() for text in figure.texts] == [title]


def bar_ends(figure) -> list[float]:
    return figure.axes[-1].get_yticks().tolist()


def test_the_scale_follows_what_the_values_are() -> None:
    image = np.zeros((5, 7))
    gate = np.full((1, 1, 5, 7), 0.2)
    gate[0, 0, 1, 1] = 0.4
    assert bar_ends(draw(spatial(gate), image)) == [0, 0.5, 1]
    share = gate / gate.sum()
    assert bar_ends(draw(spatial(share), image))[-1] == pytest.approx(share.max())
    signed = gate - 0.5
    assert bar_ends(draw(spatial(signed), image)) == pytest.approx([-0.3, 0, 0.3])
    assert bar_ends(draw(spatial(gate), image, limits=(0.1, 0.5))) == pytest.approx([0.1, 0.3, 0.5])
    gate[0, 0, 0, 0] = np.nan
    assert bar_ends(draw(spatial(gate), image)) == [0, 0.5, 1]


def test_a_picture_in_colours_and_one_with_few_bright_pixels() -> None:
    colours = np.zeros((3, 4, 5))
    colours[1, 2, 3] = 200
    scene = make_scene(colours, 2, 0, "it")
    assert scene.levels.shape == (4, 5, 3)
    np.testing.assert_array_equal(scene.levels[2, 3], [0, 1, 0])  # a maximum that the percentiles miss
    np.testing.assert_array_equal(make_scene(np.full((4, 5), 7.0), 2, 0, "it").levels, 0)
    levels = make_scene(Picture(np.arange(20.0).reshape(4, 5), window=(5, 15)), 2, 0, "it").levels
    np.testing.assert_allclose(levels[..., 0], grey_window(np.arange(20.0).reshape(4, 5), 5.0, 15.0))


def test_bars_stand_in_the_order_of_the_channels() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.7, 0.3]], dtype=torch.bfloat16)
    figure = draw(AttentionMap("channel", [weights]), item=1, labels=["a", "b", "c"])
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.2, 0.7, 0.3], abs=2e-3)
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx([0, 1, 2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert axes.get_ylim() == (0, 1)


def test_channel_weights_that_sum_to_one_have_a_line_at_even_shares() -> None:
    figure = draw(AttentionMap("channel", [torch.tensor([[0.5, 0.25, 0.125, 0.125]])]))
    assert [0.25, 0.25] in [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert figure.axes[0].get_ylim()[1] < 1


@pytest.mark.parametrize(("shape", "panels"), [((1, 5, 7), 1), ((2, 3, 5, 7), 1), ((9, 5, 7), 3), ((2, 1, 9, 5, 7), 3)])
def test_bars_stand_beside_their_image(shape, panels) -> None:
    image = np.random.default_rng(6).random(shape)
    figure = draw(AttentionMap("channel", [torch.rand(2, 4)]), image)
    assert len(figure.axes) == panels + 1
    assert shown(figure.axes[0]).shape == (5, 9, 3) if panels == 3 else (5, 7, 3)


def test_every_step_of_a_decoder_has_its_map_over_the_image() -> None:
    attention = VisualAttention(4, 3)
    features, image = torch.rand(2, 6, 4), np.zeros((9, 8))
    with saccade.record(attention) as maps:
        for _ in range(3):
            attention(features, torch.rand(2, 3), grid=(3, 2))
    figure = draw(maps["map"], image, item=1, labels=["one", "two", "three"])
    assert [text.get_text() for text in figure.texts] == ["one", "two", "three"]
    largest = max(float(call[1].detach().max()) for call in maps["map"].calls)
    for axes, call in zip(figure.axes, maps["map"].calls, strict=False):
        there = resample(call[1, 0].detach().double().numpy().reshape(3, 2), image.shape)
        np.testing.assert_allclose(shown(axes), overlay(image, there, limits=(0.0, largest)), atol=1e-6)
    wide = [axes.get_position().x0 for axes in figure.axes[:3]]
    assert wide == sorted(wide)


def test_maps_of_networks_are_drawn_in_two_and_three_dimensions() -> None:
    for shape in [(2, 16, 9, 11), (2, 16, 5, 9, 11)]:
        network = torch.nn.Sequential(
            CBAM(16, spatial_dims=len(shape) - 2), BAM(16, spatial_dims=len(shape) - 2), SpatialSqueezeExcitation(16)
        ).eval()
        x = torch.rand(shape)
        with saccade.record(network) as maps:
            network(x)
        assert {seen.kind for seen in maps.values()} == {"spatial", "channel"}
        for seen in maps.values():
            figure = draw(seen, x[:, :1])
            assert len(figure.axes) == 1 + (1 if x.ndim == 4 else 3)


CHANNEL, TOKENS = AttentionMap("channel", [torch.rand(2, 3)]), AttentionMap("alignment", [torch.rand(2, 3, 6)])
STEPS = AttentionMap("alignment", [torch.rand(2, 3, 6)], (3, 2))
GATE = spatial(np.zeros((2, 1, 3, 5)))
IMAGE = np.zeros((6, 10))


@pytest.mark.parametrize(
    ("seen", "settings", "says"),
    [
        (GATE, {}, "draw: a spatial map is drawn over its image, got none. Give image=."),
        (
            spatial(np.zeros((2, 1, 3, 5, 2))),
            {},
            "draw: a spatial map is drawn over its volume, got none. Give image=.",
        ),
        (
            spatial(np.zeros((2, 1, 3))),
            {"image": IMAGE},
            "draw: a spatial map must lie on an image or a volume, got a grid of 1 axes.",
        ),
        (GATE, {"image": IMAGE, "item": 2}, "draw: item must be in 0..1, the map's batch, got 2."),
        (
            GATE,
            {"image": np.zeros((1, 1, 6, 10)), "item": 1},
            "draw: item must be in 0..0, the image's batch, got 1.",
        ),
        (GATE, {"image": IMAGE, "index": 1}, "draw: index must be in 0..0, one of the maps, got 1."),
        (
            GATE,
            {"image": np.zeros((1, 1, 1, 6, 10))},
            "draw: image must be (h, w), (c, h, w) or (b, c, h, w), got the shape (1, 1, 1, 6, 10).",
        ),
        (
            GATE,
            {"image": np.zeros((4, 6, 10))},
            "draw: image must have 1 channel, or 3 for colours, got 4. Give one, such as image[:, :1].",
        ),
        (
            GATE,
            {"image": Picture(IMAGE, spacing_mm=(1, 2, 3))},
            "draw: spacing_mm must be 2 numbers above 0, got (1, 2, 3).",
        ),
        (GATE, {"image": Picture(IMAGE, window=(3, 3))}, "draw: window must be two growing intensities, got (3, 3)."),
        (
            GATE,
            {"image": Picture(IMAGE, centre=(6, 0))},
            "draw: centre must lie inside the image (6, 10), got (6, 0).",
        ),
        (GATE, {"image": IMAGE, "limits": (1, 0)}, "draw: limits must be two growing numbers, got (1, 0)."),
        (
            GATE,
            {"image": IMAGE, "queries": [(0, 0)]},
            "draw: queries= means nothing for a map of kind spatial. Leave it out.",
        ),
        (CHANNEL, {"limits": (0, 1)}, "draw: limits= means nothing for a map of kind channel. Leave it out."),
        (CHANNEL, {"labels": ["a"]}, "draw: labels must be 3, one for each channel, got 1."),
        (
            AttentionMap("channel", [torch.rand(2, 3, 4)]),
            {},
            "draw: a map of kind channel must have the shape (b, c), got (2, 3, 4).",
        ),
        (AttentionMap("channel"), {}, "draw: the map holds no call. Run the network inside the record block."),
        (
            AttentionMap("spatail", [torch.rand(2, 3)]),
            {},
            "draw: unknown kind of map 'spatail'. Did you mean 'spatial'? Known: spatial, channel, "
            "pairwise, alignment, glimpse, transform.",
        ),
        (STEPS, {}, "draw: an alignment is drawn over its image, got none. Give image=."),
        (STEPS, {"image": IMAGE, "labels": ["a"]}, "draw: labels must be 3, one for each step, got 1."),
        (
            STEPS,
            {"image": IMAGE, "key_labels": ["a"]},
            "draw: key_labels are for tokens; this alignment map lies on the grid (3, 2). Leave them out.",
        ),
        (
            AttentionMap("alignment", [torch.rand(2, 3, 6)], (3, 3)),
            {"image": IMAGE},
            "draw: an alignment over the grid (3, 3) must have 9 positions, got 6.",
        ),
        (
            TOKENS,
            {"image": IMAGE},
            "draw: the alignment map does not tell where on an image it lies. Call its module with grid=.",
        ),
        (TOKENS, {"labels": ["a"]}, "draw: labels must be 3, one for each row of the map, got 1."),
        (TOKENS, {"key_labels": ["a"]}, "draw: key_labels must be 6, one for each column of the map, got 1."),
        (
            AttentionMap("alignment", [torch.rand(2, 1, 6), torch.rand(2, 1, 5)]),
            {},
            "draw: the calls of the alignment map are over different positions. Record one input at a time.",
        ),
        (
            AttentionMap("transform", [torch.rand(2, 4, 2)]),
            {"image": IMAGE},
            "draw: a map of kind transform must have the shape (b, *size, d), got (1, 4, 2).",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(seen, settings, says) -> None:
    with pytest.raises(InputError) as caught:
        draw(seen, **settings)
    assert str(caught.value) == says


@pytest.mark.process
def test_drawing_loads_no_torch() -> None:
    code = "import sys; from saccade.explain import draw, Picture; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_page_is_black_and_has_no_empty_panel() -> None:
    figure = draw(STEPS, IMAGE)
    assert to_rgb(figure.get_facecolor()) == (0, 0, 0)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 4  # three steps and the colour bar
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    for one, other in pairwise(boxes):
        assert one.x1 < other.x0
