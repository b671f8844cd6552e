"""Marching squares and cubes: sizes worked by hand, symmetries of the cube, closed surfaces."""

from itertools import permutations, product

import numpy as np
import pytest

from saccade.metrics.marching import cell_codes, cell_measures


def test_sizes_of_the_square_worked_by_hand():
    lengths = cell_measures((3.0, 4.0))  # codes: one bit per corner (0,0) (0,1) (1,0) (1,1)
    half_diagonal = 2.5  # from the middle of one side to that of the next: sqrt(1.5^2 + 2^2)
    assert lengths[0b0000] == lengths[0b1111] == 0
    assert lengths[0b0001] == pytest.approx(half_diagonal)
    assert lengths[0b0011] == pytest.approx(4)  # (0,0) and (0,1): the line runs along the second axis
    assert lengths[0b0101] == pytest.approx(3)
    assert lengths[0b1001] == lengths[0b0110] == pytest.approx(2 * half_diagonal)


def test_sizes_of_the_cube_worked_by_hand():
    areas = cell_measures((1.0, 1.0, 1.0))
    corner = np.sqrt(3) / 8  # an equilateral triangle with sides sqrt(1/2)
    assert areas[0b00000001] == areas[0b11111110] == pytest.approx(corner)
    assert areas[0b00001111] == pytest.approx(1)  # a flat cut through the middle
    assert areas[0b00000011] == pytest.approx(np.sqrt(2) / 2)  # an edge cut off
    assert areas[0b10000001] == pytest.approx(2 * corner)  # two opposite corners
    assert areas[0b00010111] == pytest.approx(3 * np.sqrt(3) / 4)  # a corner and its neighbours: a flat hexagon


@pytest.mark.parametrize("axes", [2, 3])
def test_same_size_however_the_cell_is_turned(axes):
    spacing = (2.5, 0.8, 1.3)[:axes]
    corners = list(product((0, 1), repeat=axes))
    sizes = cell_measures(spacing)
    for order, flips in product(permutations(range(axes)), product((0, 1), repeat=axes)):
        turned = cell_measures(tuple(spacing[axis] for axis in order))
        place = [corners.index(tuple(corner[axis] ^ flips[axis] for axis in order)) for corner in corners]
        for code in range(len(sizes)):
            new = sum(1 << place[bit] for bit in range(len(corners)) if code >> bit & 1)
            assert turned[new] == pytest.approx(sizes[code], abs=1e-12)
            assert sizes[len(sizes) - 1 - code] == pytest.approx(sizes[code], abs=1e-12)


def test_codes_reach_beyond_the_border():
    mask = np.ones((2, 3), bool)
    codes = cell_codes(mask)
    assert codes.shape == (3, 4)
    # corners of the cell at (0, 0) are voxels (-1,-1) (-1,0) (0,-1) (0,0): only the last is in the mask
    assert codes[0, 0] == 0b1000
    assert codes[1, 1] == 0b1111
    assert np.count_nonzero(codes) == codes.size
