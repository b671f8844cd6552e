"""Planes, overlays and contours: where a voxel lands, what colour it gets, and what is left alone."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from saccade.explain.render import (
    Planes,
    case_figure,
    draw_contours,
    encode,
    grey_window,
    is_flat,
    map_scale,
    overlay,
    planes,
)


def test_planes_are_radiological():
    volume = np.zeros((5, 7, 11))
    volume[4, 6, 10] = 1  # the rightmost, foremost, highest voxel
    cut = planes(volume, (4, 6, 10))
    assert [plane.shape for plane in cut] == [(7, 5), (11, 5), (11, 7)]
    for plane in cut:  # right (or front) is at the left of the picture, front (or head) at its top
        assert plane[0, 0] == 1
        assert plane.sum() == 1
    volume[0, 6, 10] = 2  # its neighbour at the patient's left: at the right end of the axial and coronal planes
    assert planes(volume, (4, 6, 10)).axial[0, 4] == 2
    assert planes(volume, (4, 6, 10)).coronal[0, 4] == 2
    assert (planes(volume, (0, 6, 10)).sagittal == 2).sum() == 1


def test_a_centre_outside_is_refused():
    with pytest.raises(ValueError, match="planes") as caught:
        planes(np.zeros((5, 7, 11)), (5, 0, 0))
    assert str(caught.value) == "planes: centre must lie inside the volume (5, 7, 11), got (5, 0, 0)."


def test_grey_window_by_hand():
    grey = grey_window(np.array([-500.0, -160.0, 40.0, 240.0, 900.0, np.nan]), -160.0, 240.0)
    np.testing.assert_allclose(grey, [0, 0, 0.5, 1, 1, 0])
    assert np.isfinite(grey_window(np.full(3, 7.0), 7.0, 7.0)).all()


def test_scales_follow_the_kind_of_map_not_the_picture():
    assert map_scale(0.41, 0.58).limits == (0.0, 1.0)
    assert map_scale(0.0, 37.0).limits == (0.0, 37.0)
    signed = map_scale(-0.5, 0.2)
    assert signed.limits == (-0.5, 0.5)
    assert signed.colormap == "RdBu_r"


@pytest.mark.parametrize("value", [0.0, 0.7, 1.0, np.nan])
def test_a_constant_map_leaves_the_scan_as_it_is(value):
    grey = np.random.default_rng(3).random((5, 7))
    shown = overlay(grey, np.full((5, 7), value), limits=(0.0, 1.0))
    np.testing.assert_array_equal(shown, np.repeat(grey[..., None], 3, -1))
    assert is_flat(np.full((5, 7), value))


def test_overlay_blends_by_hand():
    grey = np.full((1, 3), 0.2)
    shown = overlay(grey, np.array([[0.0, 1.0, np.nan]]), limits=(0.0, 1.0), colormap="inferno", opacity=0.5)
    top = np.array(matplotlib.colormaps["inferno"](1.0)[:3])
    np.testing.assert_allclose(shown[0, 0], [0.2] * 3)
    np.testing.assert_allclose(shown[0, 1], 0.5 * 0.2 + 0.5 * top)
    np.testing.assert_allclose(shown[0, 2], [0.2] * 3)


def test_a_signed_map_is_red_above_and_blue_below_nothing():
    shown = overlay(np.full((1, 3), 0.5), np.array([[-2.0, 0.0, 2.0]]), limits=(-2.0, 2.0), colormap="RdBu_r")
    assert shown[0, 0, 2] > shown[0, 0, 0]
    np.testing.assert_allclose(shown[0, 1], [0.5] * 3)
    assert shown[0, 2, 0] > shown[0, 2, 2]


def test_scale_is_not_stretched_to_the_picture():
    weak = overlay(np.zeros((1, 2)), np.array([[0.0, 0.1]]), limits=(0.0, 1.0))
    strong = overlay(np.zeros((1, 2)), np.array([[0.0, 1.0]]), limits=(0.0, 1.0))
    assert weak.max() < 0.3 * strong.max()


def test_contours_run_around_the_structure_in_mm():
    figure = Figure()
    axes = figure.add_subplot()
    labels = np.zeros((7, 11), np.int32)
    labels[0:2, 3:5] = 4  # touches the picture's upper edge: closed there too
    draw_contours(axes, labels, (2.0, 3.0), {4: (255, 0, 0)})
    (lines,) = axes.collections
    (path,) = lines.get_paths()
    low, high = path.vertices.min(0), path.vertices.max(0)
    np.testing.assert_allclose(low, [3 * 3.0, 0.0])  # the outer edges of the voxels, which are 3 mm wide, 2 mm high
    np.testing.assert_allclose(high, [5 * 3.0, 2 * 2.0])
    np.testing.assert_allclose(lines.get_edgecolor()[0], [1, 0, 0, 1])
    draw_contours(axes, labels, (2.0, 3.0), {4: (255, 0, 0)}, dashed=True)
    assert axes.collections[1].get_linestyle() != lines.get_linestyle()
    assert axes.collections[1].get_edgecolor()[0][1] >= 0.5


def _cut(shape=(23, 29, 31)):
    return planes(np.random.default_rng(5).random(shape), tuple(size // 2 for size in shape))


def test_a_case_is_drawn_to_scale():
    figure = case_figure(_cut(), (2.0, 1.0, 3.0))
    inches = [
        axes.get_position().bounds[2:] * np.array(figure.get_size_inches()) for axes in figure.axes
    ]  # (width, height)
    per_mm = inches[0][0] / (23 * 2.0)
    for (width, height), (columns_mm, rows_mm) in zip(inches, [(46, 29), (46, 93), (29, 93)], strict=True):
        np.testing.assert_allclose([width, height], [columns_mm * per_mm, rows_mm * per_mm])


def test_a_map_brings_its_colour_bar():
    figure = case_figure(_cut(), (1.0, 1.0, 1.0), attention=_cut(), scale=map_scale(0.2, 0.6))
    bar = figure.axes[-1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0", "0.5", "1"]
    with pytest.raises(ValueError, match="case_figure") as caught:
        case_figure(_cut(), (1.0, 1.0, 1.0), attention=_cut())
    assert str(caught.value) == ("case_figure: attention must come with a scale, got none. Use map_scale(low, high).")


@pytest.mark.parametrize("shape", [(1, 7, 11), (97, 5, 1), (3, 5, 401)])
def test_slabs_and_long_scans_fit(shape):
    figure = case_figure(_cut(shape), (1.0, 1.0, 1.0))
    width, height = figure.get_size_inches()
    assert 0.05 < height / width < 0.7


def test_encoding_gives_pictures_of_the_asked_size():
    figure = case_figure(_cut(), (1.0, 1.0, 1.0), width_inches=4.0)
    for kind in ("png", "jpeg"):
        picture = imread(io.BytesIO(encode(figure, kind=kind, dpi=100)), format=kind)
        assert picture.shape[1] == 400
    assert isinstance(_cut(), Planes)
