"""A network that thresholds its input: what goes in comes out, on the scan's own grid, whatever that grid is."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from saccade.attention.tap import Tap
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.predictor import SegmentationPredictor, mirrorings, readable, usable_device

SHAPE = (5, 7, 11)
SIGNS = list(itertools.product((1, -1), repeat=3))
ORIENTATIONS = [(order, signs) for order in itertools.permutations(range(3)) for signs in SIGNS]


class Threshold(nn.Module):
    """Class 1 above 0.5, class 2 above 1.5; the map of its attention is the image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Module()
        self.gate.map = Tap("spatial")
        self.channel = Tap("channel")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gate.map(x)
        self.channel(x.mean(tuple(range(2, x.ndim))))
        return torch.cat([0.75 - x, 0.25 - (x - 1).abs(), x - 1.75], 1)


def config(patch=(4, 4, 4), spacing=None, names=None, **inference) -> SegmentationConfig:
    window = {"kind": "ct_window", "low": 0, "high": 1000}  # mean 0, standard deviation 1: values stay as they are
    data = {
        "root": ".",
        "label_names": names or {1: "one", 2: "two"},
        "patch_size": patch,
        "spacing_mm": spacing,
        "intensity": window,
    }
    values = {"system": "unet", "data": data, "inference": inference, "training": {"precision": "32-true"}}
    return SegmentationConfig.parse(values, "test")


def predictor(network: nn.Module | None = None, **settings) -> SegmentationPredictor:
    return SegmentationPredictor(network or Threshold(), config(**settings))


def labels(shape=SHAPE, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.int16)


def oriented(order, signs, spacing=(0.9, 1.3, 2.1)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing) * signs)[list(order)]
    affine[:3, 3] = (-11.0, 7.0, 5.0)
    return affine


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_the_label_lies_on_the_scans_own_grid(order, signs) -> None:
    scan = Volume(labels(), oriented(order, signs))
    found = predictor().segment(scan, attention=True)
    np.testing.assert_array_equal(found.labels.array, scan.array)
    np.testing.assert_array_equal(found.labels.affine, scan.affine)
    assert found.labels.array.dtype == np.uint8
    (map_,) = found.attention.values()
    assert map_.array.dtype == np.float32
    np.testing.assert_allclose(map_.array, scan.array, atol=1e-5)
    np.testing.assert_array_equal(map_.affine, scan.affine)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 13)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from([0.0, 0.3, 0.5, 0.75]),
    st.integers(0, 99),
)
def test_any_size_any_patch_any_overlap(shape, patch, overlap, seed) -> None:
    array = labels(shape, seed)
    array.flat[0] = 3 - array.flat[-1]  # not constant
    if array.min() == array.max():
        return
    scan = Volume(array, np.eye(4))
    np.testing.assert_array_equal(predictor(patch=patch, overlap=overlap).predict(scan).array, np.minimum(array, 2))


def test_a_rotated_scan_resampled_keeps_its_ball_in_place() -> None:
    turn = nib.eulerangles.euler2mat(0.2, -0.3, 0.1)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, -0.9, 3.1])
    affine[:3, 3] = (31, -17, 5)
    index = np.moveaxis(np.indices((29, 23, 11)), 0, -1)
    far = np.linalg.norm((index - (13, 11, 5)) * (0.7, 0.9, 3.1), axis=-1)
    ball = (far <= 7).astype(np.float32)
    scan = Volume(ball, affine)
    found = predictor(spacing=(1.1, 1.1, 1.5), patch=(16, 16, 16)).predict(scan)
    both = 2 * (found.array * ball).sum() / (found.array.sum() + ball.sum())
    assert both > 0.9
    middle = np.argwhere(found.array).mean(0)
    assert np.linalg.norm((middle - np.argwhere(ball).mean(0)) * (0.7, 0.9, 3.1)) < 0.2
    np.testing.assert_array_equal(found.affine, affine)


def test_affine_header_and_units_survive_the_file(tmp_path: Path) -> None:
    image = nib.Nifti1Image(labels().astype(np.float64) * 0.5, oriented((1, 2, 0), (1, -1, -1)))
    image.header.set_xyzt_units("micron", "sec")
    image.header["descrip"] = b"scanner 7"
    image.header.set_slope_inter(2.0, 0.0)
    image.set_qform(np.diag([2.0, 2.0, 3.0, 1.0]), code=2)  # another than the sform
    image.set_sform(image.affine, code=4)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    found = predictor().predict(tmp_path / "scan.nii.gz")
    from saccade.data.volume import write_volume

    write_volume(found, tmp_path / "out.nii.gz")
    before, after = nib.load(tmp_path / "scan.nii.gz"), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.header.get_qform(), before.header.get_qform())
    for field in ("xyzt_units", "descrip", "qform_code", "sform_code", "pixdim"):
        assert (
            after.header[field] == pytest.approx(before.header[field])
            if field == "pixdim"
            else (after.header[field] == before.header[field])
        )
    assert after.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(
        np.asarray(after.dataobj), np.where(scan.array > 1.5, 2, np.where(scan.array > 0.5, 1, 0))
    )


def test_large_label_values_need_sixteen_bits() -> None:
    found = predictor(names={255: "a", 300: "b"}).predict(labels())
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.array([0, 255, 300])[labels()])
    assert predictor(names={9: "a", 255: "b"}).predict(labels()).dtype == np.uint8


def test_the_same_kind_comes_back(tmp_path: Path) -> None:
    array = labels()
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    for given_, kind in (
        (array, np.ndarray),
        (Volume(array, np.eye(4)), Volume),
        (tmp_path / "a.nii", Volume),
        (str(tmp_path / "a.nii"), Volume),
    ):
        found = predictor().predict(given_)
        assert isinstance(found, kind)
        np.testing.assert_array_equal(found.array if isinstance(found, Volume) else found, array)


def test_an_array_has_the_runs_spacing() -> None:
    # no resampling, so the label is exact; as a volume of 1 mm it would be resampled to 2 x 3 x 5 voxels
    np.testing.assert_array_equal(predictor(spacing=(2.0, 2.0, 2.0)).predict(labels()), labels())


def test_slices_through_a_network_in_two_dimensions() -> None:
    class Flat(Threshold):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.ndim == 4
            sizes.append(len(x))
            return super().forward(x)

    sizes: list[int] = []
    scan = Volume(labels((5, 7, 11)), np.eye(4))
    found = predictor(Flat(), patch=(8, 8, 1)).segment(scan, attention=True)
    np.testing.assert_array_equal(found.labels.array, scan.array)
    np.testing.assert_allclose(found.attention["gate"].array, scan.array, atol=1e-5)
    assert sizes == [8, 3]


def test_mirror_images_are_averaged() -> None:
    class Lopsided(nn.Module):
        """Sees class 1 in the first half of a window only."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            one = torch.zeros_like(x)
            one[:, :, : x.shape[2] // 2] = 1
            return torch.cat([torch.full_like(x, 0.4), one, torch.zeros_like(x)], 1)

    scan = np.arange(8.0).reshape(4, 2, 1)
    plain = predictor(Lopsided(), patch=(4, 2, 1)).predict(scan)
    both = predictor(Lopsided(), patch=(4, 2, 1), mirror_axes=(0,)).predict(scan)
    other = predictor(Lopsided(), patch=(4, 2, 1), mirror_axes=(1,)).predict(scan)
    assert plain[:, 0, 0].tolist() == [1, 1, 0, 0]
    assert both[:, 0, 0].tolist() == [1, 1, 1, 1]  # 0.5 everywhere beats 0.4
    assert other[:, 0, 0].tolist() == [1, 1, 0, 0]


def test_mirroring_changes_nothing_for_a_network_that_does_not_care() -> None:
    scan = Volume(labels(), oriented((2, 0, 1), (1, -1, 1)))
    plain, mirrored = (
        predictor().segment(scan, attention=True),
        predictor(mirror_axes=(0, 1, 2)).segment(scan, attention=True),
    )
    np.testing.assert_array_equal(mirrored.labels.array, plain.labels.array)
    np.testing.assert_allclose(mirrored.attention["gate"].array, plain.attention["gate"].array, atol=1e-5)


def test_mirrorings_are_all_subsets() -> None:
    assert mirrorings(()) == [()]
    assert sorted(mirrorings((0, 2))) == [(), (0,), (0, 2), (2,)]
    assert len(set(mirrorings((0, 1, 2)))) == 8


def test_asking_for_attention_changes_no_label_and_leaves_no_hook() -> None:
    made = predictor()
    scan = Volume(labels(), np.eye(4))
    np.testing.assert_array_equal(made.segment(scan).labels.array, made.segment(scan, attention=True).labels.array)
    assert made.segment(scan).attention == {}
    assert not any(module._forward_hooks for module in made.network.modules())
    assert made.attends
    assert not SegmentationPredictor(nn.Conv3d(1, 2, 1), config()).attends


def test_the_network_is_put_into_evaluation_mode() -> None:
    assert not predictor(Threshold().train()).network.training


def test_names_for_files() -> None:
    assert readable("gates.0.map") == "gates_0"
    assert readable("map") == "map"


def test_progress_is_told() -> None:
    told = []
    predictor(patch=(5, 7, 6), overlap=0.0).segment(Volume(labels(), np.eye(4)), progress=lambda *n: told.append(n))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 7)), "predict: an array must be (i, j, k) or (i, j, k, channels), got shape (5, 7)."),
        (np.ones((5, 7, 3, 2)), "scan: must have 1 channel(s), got 2."),
        (np.full((5, 7, 3), np.nan), "scan: voxels must be finite numbers, found NaN or infinity."),
        (np.full((5, 7, 3), np.inf, np.float32), "scan: voxels must be finite numbers, found NaN or infinity."),
        (np.full((5, 7, 3), 4), "scan: voxels must differ from one another, all are 4."),
    ],
)
def test_scans_that_cannot_be_used(array, message) -> None:
    with pytest.raises(InputError) as error:
        predictor().predict(array)
    assert str(error.value) == message


def test_inference_settings_are_checked() -> None:
    changed = predictor().with_inference({"overlap": 0.25, "mirror_axes": [1]})
    assert (changed.config.inference.overlap, changed.config.inference.mirror_axes) == (0.25, (1,))
    with pytest.raises(InputError) as error:
        predictor().with_inference({"overlap": 1.5})
    assert str(error.value) == "predict: inference.overlap: Input should be less than 1, got 1.5."


def test_devices() -> None:
    assert usable_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError) as error:
        usable_device("nonsense")
    assert str(error.value) == "device: must be cpu, cuda, mps, xpu, with a number behind a colon, got 'nonsense'."
    for name in ("cuda:99", "cpu:x"):
        with pytest.raises(InputError) as error:
            usable_device(name)
        assert str(error.value).startswith(f"device: '{name}' cannot be used on this machine (")
        assert str(error.value).endswith("). Use cpu.")
        assert "\n" not in str(error.value)
