from pathlib import Path

import numpy as np
import pytest

from saccade.data.layouts import Case, find_dataset, load_case
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError

SHAPE = (5, 7, 11)
AFFINE = np.array([[-0.7, 0, 0, 20.0], [0, 1.3, 0, -30.0], [0, 0, 2.9, 5.0], [0, 0, 0, 1]])


def case_of(tmp_path: Path, array: np.ndarray, affine: np.ndarray = AFFINE, truth: np.ndarray | None = None) -> Case:
    write_volume(Volume(array, AFFINE), tmp_path / "images/a.nii.gz")
    truth = np.resize(np.array([0, 1, 2], np.uint8), SHAPE) if truth is None else truth
    write_volume(Volume(truth, affine), tmp_path / "labels/a.nii.gz")
    return find_dataset(tmp_path).cases[0]


SCAN = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def test_label_comes_as_unsigned_integers_on_the_images_grid(tmp_path: Path) -> None:
    near = AFFINE.copy()
    near[0, 3] += 5e-4
    case = case_of(tmp_path, SCAN, near, np.resize(np.array([0.0, 300.0], np.float32), SHAPE))
    scan, truth = load_case(case)
    assert truth is not None
    assert truth.array.dtype == np.uint16
    np.testing.assert_array_equal(truth.affine, scan.affine)


def test_label_of_the_same_grid_in_another_axis_order_is_reordered(tmp_path: Path) -> None:
    truth = (SCAN > 200).astype(np.uint8)
    # i reversed and axes j, k swapped, with the affine that says so
    affine = AFFINE[:, [0, 2, 1, 3]].copy()
    affine[:3, 3] += AFFINE[:3, 0] * (SHAPE[0] - 1)
    affine[:3, 0] *= -1
    case = case_of(tmp_path, SCAN, affine, np.ascontiguousarray(truth[::-1].transpose(0, 2, 1)))
    _, found = load_case(case)
    assert found is not None
    np.testing.assert_array_equal(found.array, truth)


def shifted(by: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[1, 3] += by
    return affine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"array": np.where(SCAN == 3, np.nan, np.where(SCAN == 4, np.inf, SCAN)).astype(np.float32)},
            "case a: {}/images/a.nii.gz: not finite: expected finite intensities, found 1 NaN and 1 infinite voxels.",
        ),
        (
            {"array": np.full(SHAPE, 7, np.int16)},
            "case a: {}/images/a.nii.gz: constant image: expected more than one intensity, found 7 everywhere.",
        ),
        (
            {"truth": np.where(SCAN == 5, 1.5, 1).astype(np.float32)},
            "case a: {}/labels/a.nii.gz: non-integer label: expected whole numbers, found 1 voxels such as 1.5.",
        ),
        (
            {"truth": np.where(SCAN == 5, -1, 1).astype(np.int16)},
            "case a: {}/labels/a.nii.gz: label value: expected labels from 0 to 65535, found -1 to 1.",
        ),
        (
            {"truth": np.ones((*SHAPE, 2), np.uint8)},
            "case a: {}/labels/a.nii.gz: 4D: expected one label per voxel, found 2 channels.",
        ),
        (
            {"truth": np.ones((5, 7, 13), np.uint8)},
            "case a: {}/labels/a.nii.gz: geometry: expected the image's shape (5, 7, 11), found (5, 7, 13).",
        ),
        (
            {"affine": shifted(2.0)},
            "case a: {}/labels/a.nii.gz: geometry: expected the image's spacing (0.7, 1.3, 2.9) mm, origin "
            "(20, -30, 5), axes LAS, found spacing (0.7, 1.3, 2.9) mm, origin (20, -28, 5), axes LAS, up to 2 off.",
        ),
        (
            {"affine": AFFINE @ np.diag([-1.0, 1, 1, 1])},
            "case a: {}/labels/a.nii.gz: geometry: expected the image's spacing (0.7, 1.3, 2.9) mm, origin "
            "(20, -30, 5), axes LAS, found spacing (0.7, 1.3, 2.9) mm, origin (20, -30, 5), axes RAS, up to 1.4 off.",
        ),
    ],
)
def test_load_case_says_what_is_wrong(tmp_path: Path, change: dict, message: str) -> None:
    case = case_of(tmp_path, **{"array": SCAN, **change})
    with pytest.raises(InputError) as error:
        load_case(case)
    assert str(error.value) == message.format(tmp_path)


def test_channels_on_different_grids(tmp_path: Path) -> None:
    write_volume(Volume(SCAN, AFFINE), tmp_path / "imagesTr/a_0000.nii.gz")
    write_volume(Volume(SCAN, shifted(1.0)), tmp_path / "imagesTr/a_0001.nii.gz")
    write_volume(Volume(SCAN.astype(np.uint8), AFFINE), tmp_path / "labelsTr/a.nii.gz")
    with pytest.raises(InputError, match=r"a_0001.nii.gz: geometry: expected the grid of a_0000.nii.gz: \(5, 7, 11\)"):
        load_case(find_dataset(tmp_path).cases[0])
