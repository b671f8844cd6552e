"""Glimpse paths with their patches, and sampling grids over what they sample."""

import numpy as np
import pytest
import torch
from torch import nn

import saccade
from saccade.attention import AttentionMap, GlimpseSensor, SpatialTransformer
from saccade.errors import InputError
from saccade.explain import Picture, draw


def look(sensor: GlimpseSensor, image: torch.Tensor, places: list[list[float]]) -> AttentionMap:
    with saccade.record(sensor) as maps:
        for place in places:
            sensor(image, torch.tensor([place]))
    return maps["map"]


def boxes(axes) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of every outline."""
    return [tuple(map(float, (*p.get_xy(), p.get_width(), p.get_height()))) for p in axes.patches]


def path(axes) -> list[list[float]]:
    return np.stack([axes.lines[0].get_xdata(), axes.lines[0].get_ydata()], -1).tolist()


def test_patches_are_outlined_where_the_sensor_cuts_them() -> None:
    """The sensor shows the numbers of the pixels that it cuts; the outline must hold just these."""
    image = torch.arange(20.0 * 30).reshape(1, 1, 20, 30)
    for size, place in [(5, [0.13, -0.41]), (4, [-0.2, 0.3]), (3, [0.0, 0.0])]:
        sensor = GlimpseSensor(size)
        cut = sensor(image, torch.tensor([place]))[0, 0]
        row, column = divmod(int(cut[0, 0]), 30)
        (axes,) = draw(look(sensor, image, [place]), image, module=sensor).axes
        assert boxes(axes) == [(column, row, size, size)]


def test_a_differentiable_sensor_cuts_between_pixels() -> None:
    sensor = GlimpseSensor(4, scales=2, differentiable=True)
    (axes,) = draw(look(sensor, torch.zeros(1, 1, 10, 20), [[0.1, 0.3]]), np.zeros((10, 20)), module=sensor).axes
    # the location is at x = 0.5 * 1.1 * 20 = 11 and y = 0.5 * 1.3 * 10 = 6.5
    assert boxes(axes) == [pytest.approx((9, 4.5, 4, 4)), pytest.approx((7, 2.5, 8, 8))]


def test_the_path_goes_from_location_to_location_and_is_numbered() -> None:
    sensor, image = GlimpseSensor(2), torch.zeros(1, 1, 10, 20)
    seen = look(sensor, image, [[0.0, 0.0], [-1.0, -1.0], [0.5, 1.0]])
    (axes,) = draw(seen, image).axes
    assert path(axes) == pytest.approx(np.array([[10, 5], [0, 0], [15, 10]]))
    assert [text.get_text() for text in axes.texts] == [" 1", " 2", " 3"]
    assert len(axes.patches) == 0  # no sensor, no outlines


def test_one_item_of_a_batch_and_an_image_finer_than_what_the_sensor_saw() -> None:
    sensor = GlimpseSensor(2)
    with saccade.record(sensor) as maps:
        sensor(torch.zeros(2, 1, 10, 10), torch.tensor([[0.0, 0.0], [0.2, -0.4]]))
    (axes,) = draw(maps["map"], np.zeros((20, 30)), item=1, module=sensor).axes
    assert path(axes) == pytest.approx(np.array([[18, 6]]))
    assert boxes(axes) == [(15, 4, 6, 4)]  # pixels 5 to 7 and 2 to 4, each three wide and two high


def test_patches_beyond_the_border_are_shown() -> None:
    sensor, image = GlimpseSensor(8), torch.zeros(1, 1, 20, 20)
    (axes,) = draw(look(sensor, image, [[-1.0, 1.0]]), image, module=sensor).axes
    assert boxes(axes) == [(-4, 16, 8, 8)]
    assert axes.get_xlim() == (-4, 20)
    assert axes.get_ylim() == (24, 0)


def test_glimpses_into_a_volume_are_projected_onto_three_planes() -> None:
    sensor, volume = GlimpseSensor(2, spatial_dims=3), torch.rand(1, 1, 6, 8, 10)
    seen = look(sensor, volume, [[0.0, 0.0, 0.0], [0.2, -0.5, 2 / 3]])  # z, y, x: k = 6, j = 2, i = 5
    figure = draw(seen, Picture(volume, spacing_mm=(1, 1, 2), window=(0, 1)), module=sensor)
    assert len(figure.axes) == 3
    assert path(figure.axes[0]) == pytest.approx(np.array([[3, 4], [1, 6]]))
    assert path(figure.axes[1]) == pytest.approx(np.array([[3, 10], [1, 8]]))
    assert path(figure.axes[2]) == pytest.approx(np.array([[4, 10], [6, 8]]))
    assert boxes(figure.axes[1])[1] == pytest.approx((0, 6, 2, 4))  # i 4 to 6, k 5 to 7
    np.testing.assert_allclose(
        figure.axes[0].images[0].get_array()[..., 0], np.flip(volume[0, 0, :, :, 6].numpy()).T, atol=1e-6
    )


def test_a_sensor_of_other_dimensions_is_refused() -> None:
    seen = AttentionMap("glimpse", [torch.zeros(1, 2)])
    with pytest.raises(InputError) as caught:
        draw(seen, np.zeros((5, 5)), module=GlimpseSensor(2, spatial_dims=3))
    assert str(caught.value) == "draw: module must be a sensor of 2 axes, got one of 3."
    with pytest.raises(InputError, match=r"^draw: a glimpse is drawn over its image, got none. Give image=.$"):
        draw(seen)


def transformer(theta: list[float], shape: tuple[int, ...], **settings) -> tuple[SpatialTransformer, AttentionMap]:
    """A transformer that always regresses theta, and its map for an input of this shape."""
    net = SpatialTransformer(nn.Flatten(), int(np.prod(shape)), spatial_dims=len(shape), **settings)
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor(theta))
    with saccade.record(net) as maps, torch.no_grad():
        net(torch.zeros(1, 1, *shape))
    return net, maps["map"]


def outline(axes) -> list[tuple[float, float, float, float]]:
    """The boxes (x0, x1, y0, y1) of the lines in the colour of the outer edge."""
    lines = [line for line in axes.lines if line.get_color() == "#ffb000"]
    return [(*line.get_xdata()[[0, -1]], *line.get_ydata()[[0, -1]]) for line in lines]


def border(width: float, height: float) -> np.ndarray:
    """Top, bottom, left, right."""
    return np.array([(0, width, 0, 0), (0, width, height, height), (0, 0, 0, height), (width, width, 0, height)])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [None, (7, 5)])
def test_the_grid_of_the_identity_is_the_border_of_the_image(align_corners, size) -> None:
    net, seen = transformer([1, 0, 0, 0, 1, 0], (20, 30), align_corners=align_corners)
    (axes,) = draw(seen, np.zeros((20, 30)), module=net).axes
    np.testing.assert_allclose(outline(axes), border(30, 20), atol=1e-4)
    if align_corners:  # read with the other convention it would lie half a pixel off
        (other,) = draw(seen, np.zeros((20, 30))).axes
        assert np.abs(np.array(outline(other)) - border(30, 20)).max() > 0.4


def test_a_zoom_into_the_upper_right_quarter_shows_that_quarter() -> None:
    net, seen = transformer([0.5, 0.5, -0.5], (20, 30), transform="attention")
    (axes,) = draw(seen, np.zeros((20, 30)), module=net).axes
    corners = border(15, 10) + np.array([15, 15, 0, 0])
    np.testing.assert_allclose(outline(axes), corners, atol=1e-4)
    assert axes.get_xlim() == pytest.approx((0, 30), abs=1e-4)
    inner = [line for line in axes.lines if line.get_color() != "#ffb000"]
    assert len(inner) == 2 * 11  # twelve cells along each axis at most


def test_a_transform_that_sees_beyond_the_image_widens_the_panel() -> None:
    net, seen = transformer([1.2, 0, 0, 0, 1.2, 0], (20, 30))
    (axes,) = draw(seen, np.zeros((20, 30)), module=net).axes
    assert axes.get_xlim() == pytest.approx((-3, 33), abs=1e-4)
    assert axes.get_ylim() == pytest.approx((22, -2), abs=1e-4)


def test_a_volume_has_its_middle_slices_on_three_planes() -> None:
    identity = torch.eye(3, 4).flatten().tolist()
    net, seen = transformer(identity, (6, 4, 8))
    figure = draw(seen, Picture(np.zeros((6, 4, 8)), spacing_mm=(1, 2, 1)), module=net)
    for axes, (width, height) in zip(figure.axes, [(6, 8), (6, 8), (8, 8)], strict=True):
        found = np.abs(np.array(outline(axes)))
        assert (found[:, :2].min(), found[:, :2].max()) == pytest.approx((0, width), abs=1e-4)
        assert (found[:, 2:].min(), found[:, 2:].max()) == pytest.approx((0, height), abs=1e-4)


def test_a_grid_one_position_wide_is_a_line() -> None:
    seen = AttentionMap("transform", [torch.zeros(1, 1, 3, 2)])
    assert draw(seen, np.zeros((5, 5))).axes[0].lines[0].get_ydata().tolist() == [2.5] * 4
