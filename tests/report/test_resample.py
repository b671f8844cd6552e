"""Coarser grids: means by hand, places in the world, labels that are never mixed."""

import numpy as np
import pytest

from saccade.report.resample import mean_to, nearest_to, shown_affine, shown_shape


def test_means_by_hand():
    line = np.array([1.0, 2.0, 6.0])[:, None, None]
    # Three voxels into two: each covers one and a half.
    np.testing.assert_allclose(mean_to(line, (2, 1, 1))[:, 0, 0], [(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 6) / 1.5])
    volume = np.random.default_rng(1).random((10, 14, 70))
    coarse = mean_to(volume, (5, 7, 35))
    np.testing.assert_allclose(coarse, volume.reshape(5, 2, 7, 2, 35, 2).mean((1, 3, 5)), rtol=1e-5)
    np.testing.assert_array_equal(mean_to(volume.astype(np.float32), volume.shape), volume.astype(np.float32))


def test_what_is_no_number_becomes_the_smallest():
    volume = np.array([np.nan, -3.0, 5.0])[:, None, None]
    np.testing.assert_array_equal(mean_to(volume, (3, 1, 1))[:, 0, 0], [-3, -3, 5])


def test_labels_are_picked_never_mixed():
    line = np.array([1, 1, 9, 9, 4, 4, 4])[:, None, None]
    assert nearest_to(line, (3, 1, 1))[:, 0, 0].tolist() == [1, 9, 4]  # centres 1.17, 3.5 and 5.83 of seven


def test_a_coarse_voxel_lies_where_its_part_of_the_scan_lies():
    affine = np.array([[0.7, 0.1, 0, 5], [0, 0.8, 0, -7], [0, 0.2, 3, 11], [0, 0, 0, 1]])
    shape, shown = (7, 12, 9), (7, 6, 2)
    coarse = shown_affine(affine, shape, shown)
    for corner in ((0, 0, 0), (7, 12, 9), (0, 12, 0)):  # voxel edges, half a voxel before the centre
        fine_edge = affine @ [*(np.array(corner) - 0.5), 1]
        scaled = np.array(corner) * shown / shape
        assert coarse @ [*(scaled - 0.5), 1] == pytest.approx(fine_edge)


def test_only_long_axes_are_shortened():
    assert shown_shape((512, 200, 300), 256) == (256, 200, 256)
