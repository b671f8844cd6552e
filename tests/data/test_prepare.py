"""From a scan to what the network sees, and back: nothing moves, labels stay labels, values are comparable."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.prepare import (
    Grid,
    Normalise,
    check_channels,
    prepare_image,
    prepare_labels,
    prepared_grid,
    resample,
    resample_labels,
    resampled_shape,
    scan_view,
)
from saccade.data.restore import BlockRestorer
from saccade.data.volume import Volume
from saccade.errors import InputError

AS_IT_IS = Normalise("ct_window", low=-1e6, high=1e6)
SIGNS = list(itertools.product((1, -1), repeat=3))
ORIENTATIONS = [(order, signs) for order in itertools.permutations(range(3)) for signs in SIGNS]


def oriented(order, signs, spacing=(0.9, 1.3, 2.1)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing) * signs)[list(order)]
    affine[:3, 3] = (-11.0, 7.0, 5.0)
    return affine


def back(image: torch.Tensor, grid: Grid) -> np.ndarray:
    """The first channel on the scan's own grid."""
    array = np.full(grid.source.shape, np.nan, np.float32)
    whole = tuple(slice(0, size) for size in image.shape[1:])
    for place, values in BlockRestorer(image.shape[1:], grid.canonical_shape).push(whole, image):
        scan_view(array, grid)[place] = values[0].numpy()
    return array


def position(weight: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of mass in mm."""
    index = [float((grid * weight).sum() / weight.sum()) for grid in np.indices(weight.shape)]
    return (affine @ [*index, 1.0])[:3]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_there_and_back_in_all_orientations(order, signs) -> None:
    array = np.arange(5 * 7 * 11, dtype=np.float32).reshape(5, 7, 11)
    scan = Volume(array, oriented(order, signs))
    image, grid = prepare_image(scan, spacing_mm=None, normalise=AS_IT_IS)
    np.testing.assert_array_equal(back(image, grid), array)
    # right, anterior, superior: the sizes stand in the order of the world's axes
    sizes = [0, 0, 0]
    for axis in range(3):
        sizes[int(np.abs(scan.affine[:3, axis]).argmax())] = array.shape[axis]
    assert list(image.shape[1:]) == sizes
    labels = prepare_labels(scan.like((array % 3).astype(np.uint8)), tuple(image.shape[1:]), [0, 1, 2])
    np.testing.assert_array_equal(labels.numpy(), image[0].numpy() % 3)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.tuples(*[st.floats(0.6, 3.0)] * 3), st.integers(0, 99))
def test_a_blob_keeps_its_place_in_the_world_when_resampled(orientation, spacing, seed) -> None:
    affine = oriented(*orientation)
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.35, 0.65, 3) * (23, 19, 17)
    array = np.exp(-((np.moveaxis(np.indices((23, 19, 17)), 0, -1) - centre) ** 2).sum(-1) / 18).astype(np.float32)
    scan = Volume(array, affine)
    image, grid = prepare_image(scan, spacing_mm=spacing, normalise=AS_IT_IS)
    assert prepared_grid(scan, spacing)[0] == tuple(image.shape[1:])
    assert prepared_grid(scan, spacing)[1].canonical_shape == grid.canonical_shape
    assert np.linalg.norm(position(back(image, grid) ** 2, affine) - position(array**2, affine)) < 0.25
    # and on the prepared grid: the outer faces stay, so voxel n's middle is at (n + 1/2) x step from the first face
    step = np.array(grid.canonical_shape) / np.array(image.shape[1:])
    weight = image[0].double().numpy() ** 2
    index = np.array([(g * weight).sum() / weight.sum() for g in np.indices(weight.shape)])
    canonical = (index + 0.5) * step - 0.5
    ras = np.abs(np.linalg.norm(affine[:3, :3], axis=1))
    corner = np.minimum(affine[:3, 3], (affine @ [22, 18, 16, 1])[:3])
    assert np.linalg.norm(corner + canonical * ras - position(array**2, affine)) < 0.25


def test_resampled_shape_by_hand() -> None:
    scan = Volume(np.zeros((10, 7, 5), np.float32), np.diag([1.0, 2.0, 4.0, 1.0]))
    assert resampled_shape(scan, (2.0, 2.0, 2.0)) == (5, 7, 10)
    assert resampled_shape(scan, (3.0, 3.0, 50.0)) == (3, 5, 1)  # 10/3, 14/3, 20/50 rounded, never below 1
    assert resampled_shape(scan, None) == (10, 7, 5)


def test_linear_interpolation_by_hand() -> None:
    # middles of 4 voxels over 2: at -0.25, 0.25, 0.75, 1.25 of the old ones; beyond the outer middles the border holds
    out = resample(torch.tensor([[[[0.0, 8.0]]]]), (1, 1, 4), "trilinear")
    assert out.flatten().tolist() == [0.0, 2.0, 6.0, 8.0]


def test_a_label_takes_the_largest_share() -> None:
    # two old voxels in each new one: 1 wins over 0.5 of background only where it has more; ties go to the lower class
    labels = torch.tensor([[[1, 1, 0, 2, 2, 3]]], dtype=torch.uint8)
    assert resample_labels(labels, (1, 1, 3), 4).flatten().tolist() == [1, 0, 2]
    same = resample_labels(labels, (1, 1, 6), 4)
    assert torch.equal(same, labels)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_labels_equal_the_argmax_of_resampled_one_hot_maps(size, wanted, seed) -> None:
    labels = torch.randint(0, 4, size, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    one_hot = torch.stack([(labels == value).float() for value in range(4)])
    shares = resample(one_hot, wanted, "trilinear")
    found = resample_labels(labels, wanted, 4)
    assert torch.equal(shares.gather(0, found[None].long())[0], shares.amax(0))


def test_label_values_become_indices_and_strangers_background() -> None:
    values = np.array([[[0, 3, 300, 7]]], np.uint16)
    labels = prepare_labels(Volume(values, np.eye(4)), (1, 1, 4), [0, 3, 300])
    assert labels.dtype == torch.uint8
    assert labels.flatten().tolist() == [0, 1, 2, 0]
    assert prepare_labels(Volume(values * 0, np.eye(4)), (1, 1, 4), [0, 3]).sum() == 0


def test_intensities_by_hand() -> None:
    image = torch.tensor([-10.0, 0.0, 5.0, 25.0]).reshape(1, 4, 1, 1)
    window = Normalise("ct_window", low=0.0, high=10.0, mean=5.0, std=2.5)
    assert window(image).flatten().tolist() == [-2.0, -2.0, 0.0, 2.0]
    scaled = Normalise("min_max")(image).flatten().tolist()
    assert scaled == pytest.approx([0.0, 10 / 35 * 255, 15 / 35 * 255, 255.0])
    two = torch.stack([image[0], 3 * image[0] + 1])
    standard = Normalise("z_score")(two)
    assert standard.mean((1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert standard.std((1, 2, 3), correction=0).tolist() == pytest.approx([1, 1])
    torch.testing.assert_close(standard[0], standard[1])  # each channel by itself


@pytest.mark.parametrize("kind", ["z_score", "min_max"])
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (1, 1, 1, 1)])
def test_a_constant_image_gives_zeros_not_nan(kind, shape) -> None:
    assert Normalise(kind)(torch.full(shape, 7.0)).abs().max() == 0


def test_preparation_leaves_the_scan_as_it_is() -> None:
    # float32 in canonical order is not copied on its way in
    scan = Volume(np.random.default_rng(0).normal(0, 50, (3, 5, 7)).astype(np.float32), np.eye(4))
    before = scan.array.copy()
    for normalise in (
        Normalise("ct_window", low=-9.0, high=9.0, mean=2.0, std=3.0),
        *map(Normalise, ("z_score", "min_max")),
    ):
        prepare_image(scan, spacing_mm=None, normalise=normalise)
        np.testing.assert_array_equal(scan.array, before)


def test_channels_come_first() -> None:
    array = np.stack([np.zeros((3, 5, 7)), np.ones((3, 5, 7))], -1)
    image, grid = prepare_image(Volume(array, np.eye(4)), spacing_mm=None, normalise=AS_IT_IS)
    assert image.shape == (2, 3, 5, 7)
    assert image.dtype == torch.float32
    assert [float(channel.mean()) for channel in image] == [0.0, 1.0]
    assert isinstance(grid, Grid)


def test_channels_are_counted() -> None:
    scan = Volume(np.zeros((3, 5, 7, 2)), np.eye(4))
    check_channels(scan, 2, "scan.nii.gz")
    with pytest.raises(InputError) as error:
        check_channels(scan, 1, "scan.nii.gz")
    assert str(error.value) == "scan.nii.gz: must have 1 channel(s), got 2."
