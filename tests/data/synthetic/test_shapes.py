import numpy as np
import pytest

from saccade.data.synthetic.shapes import Part, coverage, draw_waves, rotation, soft_union, tube, waves

IDENTITY = np.eye(3)
ROUND = np.ones(3)


def grid(shape, spacing_mm=1.0):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(np.float32)
    return (index - (np.array(shape)[:, None, None, None] - 1) / 2).astype(np.float32) * spacing_mm


def at(*points):
    return np.array(points, np.float32).T[:, :, None, None]


def test_a_tube_is_the_distance_to_its_line_less_the_radius_there():
    part = Part(np.array([[0.0, 0, 0], [10, 0, 0]]), np.array([2.0, 4.0]), ROUND, IDENTITY)
    # (5, 7, 0) is 7 from the line, radius 3 there; (13, 4, 0) is 5 from the end of radius 4; (-1, 0, 0) is inside by 1.
    np.testing.assert_allclose(tube(at((5, 7, 0), (13, 4, 0), (-1, 0, 0)), part).ravel(), [4, 1, -1], atol=1e-5)


def test_one_point_is_an_ellipsoid_with_the_stretched_axes():
    turn = rotation(np.array([0.0, 0.0, 90.0]))  # x goes to y
    part = Part(np.zeros((1, 3)), np.array([10.0]), np.array([2.0, 1.0, 0.5]), turn.T)
    surface = at((0, 20, 0), (10, 0, 0), (0, 0, 5))
    np.testing.assert_allclose(tube(surface, part), 0, atol=1e-4)
    low, high = part.bounds(margin_mm=1.0)
    assert (high >= [11, 21, 6]).all()
    np.testing.assert_allclose(low, -high)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, -35, 50)])
def test_coverage_adds_up_to_the_volume_of_a_ball(degrees):
    p = np.tensordot(rotation(np.array(degrees, float)), grid((29, 23, 31), 1.0), axes=1).astype(np.float32)
    part = Part(np.array([[0.3, -0.2, 0.4]]), np.array([8.0]), ROUND, IDENTITY)
    assert coverage(tube(p, part)).sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)


def test_coverage_of_a_plane_is_the_part_of_the_voxel_behind_it():
    p = grid((7, 5, 3), 4.0)
    # The face at x = 1 covers (1 + 2) / 4 of the voxel from -2 to 2, all of those before, none after.
    expected = np.array([1, 1, 1, 0.75, 0, 0, 0])[:, None, None] * np.ones((7, 5, 3))
    np.testing.assert_allclose(coverage(p[0] - 1), expected, atol=1e-6)


def test_soft_union_is_the_union_away_from_the_seam_and_bulges_at_it():
    a, b = np.array([-3.0, 9.0, 0.0]), np.array([9.0, -3.0, 0.0])
    # At the seam h = 1/2: 0 - blend / 4.
    np.testing.assert_allclose(soft_union(a, b, 4.0), [-3, -3, -1])


def test_waves_have_the_wanted_deviation():
    rng = np.random.default_rng(0)
    table = np.concatenate([draw_waves(rng, 40, (9.0, 15.0), 3.0)])
    assert waves(grid((43, 41, 37), 2.0), table).std() == pytest.approx(3.0, rel=0.2)
