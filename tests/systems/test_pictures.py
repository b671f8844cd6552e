"""Pictures that systems show: what is where, in images and in slices of volumes."""

import numpy as np
import pytest
import torch

from saccade.systems.pictures import axial, grey_of, in_picture, picture_of, polyline, window_of


@pytest.mark.parametrize(("shape", "place"), [((5, 7), (1, 5)), ((5, 7, 11), (1, 5, 8))])
def test_a_place_of_the_image_is_where_its_picture_has_it(shape, place) -> None:
    image = torch.zeros(1, *shape)
    image[0, *place] = 1
    picture = picture_of(image, at=place[-1], window=(0.0, 1.0))
    x, y = in_picture(np.array(place) + 0.5, shape)
    assert picture[int(y), int(x)] == 255
    assert picture.sum() == 255
    assert picture.dtype == np.uint8


def test_a_slice_has_the_right_on_the_left_and_the_front_at_the_top() -> None:
    volume = np.zeros((5, 7, 11))
    volume[4, 6, 5] = 1  # to the right and to the front; 5 is the middle slice
    assert axial(volume).shape == (7, 5)
    assert axial(volume)[0, 0] == 1
    assert axial(volume, 4).max() == 0


def test_grey_levels_and_colours() -> None:
    image = torch.linspace(-3, 3, 101)[None, None].repeat(1, 2, 1)
    low, high = window_of(image)
    assert (low, high) == pytest.approx((-2.94, 2.94), abs=1e-3)
    levels = grey_of(image)
    assert (levels[0, 0], levels[0, 100], levels[1, 50]) == pytest.approx((0, 1, 0.5))
    colours = picture_of(torch.stack([image[0], torch.zeros(2, 101), -image[0]]), window=(-3.0, 3.0))
    assert colours.shape == (2, 101, 3)
    assert colours[0, 0].tolist() == [0, 128, 255]
    assert picture_of(torch.ones(2, 3, 4)).shape == (3, 4)  # two channels: their mean; and a constant image


def test_a_line() -> None:
    line = polyline(np.array([[0.0, 1.5], [2.25, 3.0]]), "#fff", 0.5)
    assert line == '<polyline points="0.00,1.50 2.25,3.00" fill="none" stroke="#fff" stroke-width="0.50"/>'
