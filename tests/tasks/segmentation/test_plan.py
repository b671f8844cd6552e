"""What is decided from the data, against numbers worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save

from saccade.data.layouts import find_dataset
from saccade.errors import InputError
from saccade.systems.unet_settings import plan_unet
from saccade.tasks.segmentation.plan import (
    Fingerprint,
    plan_data,
    plan_patch,
    plan_pooling,
    take_fingerprint,
    value_window,
)

SHAPE = (13, 11, 7)


def dataset(root: Path, kind: str, spacings=((1.0, 1.0, 2.0),) * 3, shape=SHAPE):
    for number, spacing in enumerate(spacings):
        rng = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        label[2:6, 3:8, 1:4] = 4
        label[8:10, 3:8, 1:4] = 9
        if kind == "CT":
            image = rng.integers(-1000, -900, shape).astype(np.int16)
            image[label > 0] = rng.integers(40, 61, int((label > 0).sum()))
        else:
            image = rng.integers(0, 400, shape).astype(np.int16)
        save(root / f"images/c{number}.nii.gz", image, np.diag([*spacing, 1.0]))
        save(root / f"labels/c{number}.nii.gz", label, np.diag([*spacing, 1.0]))
    return find_dataset(root)


def test_ct_is_told_from_its_air(tmp_path) -> None:
    found = dataset(tmp_path, "CT")
    seen = take_fingerprint(found, found.labelled())
    assert (seen.modality, seen.channels, seen.values) == ("CT", 1, (4, 9))
    assert seen.spacing_mm == (1.0, 1.0, 2.0)
    assert seen.shape == SHAPE
    assert seen.window == (40.0, 60.0)
    assert seen.mean == pytest.approx(50, abs=1)
    assert seen.std == pytest.approx(np.sqrt((21**2 - 1) / 12), abs=0.4)  # of 40..60, all equally likely
    planned = plan_data(found, seen, patch_voxels=10**6, volume_voxels=None)
    assert planned["intensity"]["kind"] == "ct_window"
    assert (planned["intensity"]["low"], planned["intensity"]["high"]) == (40.0, 60.0)
    assert planned["label_names"] == {4: "label 4", 9: "label 9"}
    assert planned["patch_size"] == [8, 8, 7]  # 13 and 11 down to a multiple of 8; 7 slices stay 7


def test_gas_in_one_organ_does_not_widen_the_window_of_all() -> None:
    rng = np.random.default_rng(0)
    liver, stomach = rng.normal(100, 10, (9000, 1)), rng.normal(40, 10, (1000, 1))
    stomach[:200] = -900  # a fifth of the stomach, 2 percent of all
    low, high = value_window(np.concatenate([liver, stomach]), np.repeat([6, 7], [9000, 1000]))
    assert -60 < low < 0  # five of the stomach's own standard deviations below 40, its gas apart
    assert 115 < high < 150


@given(st.integers(0, 1000))
def test_the_window_lies_within_the_percentiles_and_holds_every_median(seed) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, 600)
    values = rng.normal(rng.normal(0, 100, 4)[labels], rng.uniform(0, 30))[:, None]
    low, high = value_window(values, labels)
    lowest, highest = np.percentile(values, [0.5, 99.5])
    assert lowest <= low <= high <= highest
    for organ in range(1, 4):
        assert low <= np.median(values[labels == organ]) <= high or (labels == organ).mean() < 0.01


def test_mr_gets_z_scores(tmp_path) -> None:
    found = dataset(tmp_path, "MR")
    seen = take_fingerprint(found, found.labelled())
    assert seen.modality == "MR"
    assert plan_data(found, seen, patch_voxels=1000, volume_voxels=None)["intensity"] == {"kind": "z_score"}


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((35, 50, 36), (32, 48, 32)),  # a small organ: nearly all of it
        ((512, 512, 150), (136, 136, 32)),  # an abdomen: about a quarter of each axis
        ((512, 512, 900), (80, 80, 152)),  # no more than fits
    ],
)
def test_patches_grow_with_the_volume(tmp_path, shape, patch) -> None:
    planned = plan_data(dataset(tmp_path, "CT"), fingerprint(shape))["patch_size"]
    assert planned == list(patch)
    assert np.prod(planned) <= max(2**17, min(np.prod(shape) / 64, 2**20))


def test_spacing_is_the_median_unless_slices_are_thick(tmp_path) -> None:
    even = dataset(tmp_path / "a", "MR", [(1, 1, 1), (1, 1, 2), (2, 1, 3)])
    assert take_fingerprint(even, even.labelled()).spacing_mm == (1.0, 1.0, 2.0)
    # beyond 3 times the finest axis: the 10th percentile of 4, 5, 8 keeps what the finer scans show
    thick = dataset(tmp_path / "b", "MR", [(1, 1, 4), (1, 1, 5), (1, 1, 8)])
    assert take_fingerprint(thick, thick.labelled()).spacing_mm == pytest.approx((1.0, 1.0, 4.2))


def test_axes_are_counted_in_the_world(tmp_path) -> None:
    turned = np.array([[0, 0, 2.0, 0], [-1.5, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    label = np.zeros(SHAPE, np.uint8)
    label[3, 3, 3] = 1
    save(tmp_path / "images/a.nii.gz", np.random.default_rng(0).normal(size=SHAPE), turned)
    save(tmp_path / "labels/a.nii.gz", label, turned)
    found = find_dataset(tmp_path)
    seen = take_fingerprint(found, found.labelled())
    assert seen.spacing_mm == (2.0, 1.5, 1.0)
    assert seen.shape == (7, 13, 11)


def test_what_cannot_be_planned(tmp_path) -> None:
    found = dataset(tmp_path, "MR")
    with pytest.raises(InputError) as error:
        take_fingerprint(found, [])
    assert str(error.value) == f"{tmp_path}: must have labelled cases to train on, found none."
    save(tmp_path / "images/c1.nii.gz", np.random.default_rng(0).normal(size=(*SHAPE, 2)))
    with pytest.raises(InputError) as error:
        take_fingerprint(found, found.labelled())
    assert str(error.value) == f"{tmp_path}: all cases must have equally many channels, found [1, 2]."


def fingerprint(shape, spacing=(1.0, 1.0, 1.0)) -> Fingerprint:
    return Fingerprint(spacing, shape, "MR", (0.0, 1.0), 0.5, 0.2, (1,), 1)


def test_a_coarser_grid_for_a_small_machine(tmp_path) -> None:
    found = dataset(tmp_path, "MR")
    # 64 x 64 x 64 mm in 32^3 voxels: 2 mm
    planned = plan_data(found, fingerprint((64, 64, 64)), patch_voxels=10**6, volume_voxels=32**3)
    assert planned["spacing_mm"] == pytest.approx([2, 2, 2], abs=0.01)
    assert planned["patch_size"] == [32, 32, 32]
    # slices of 4 mm are coarse already; 16 of them leave 2048 voxels in plane: 64 x 64 mm at sqrt(2) mm
    planned = plan_data(found, fingerprint((64, 64, 16), (1.0, 1.0, 4.0)), patch_voxels=10**6, volume_voxels=32**3)
    assert planned["spacing_mm"] == pytest.approx([2**0.5, 2**0.5, 4], abs=0.01)
    flat = plan_data(found, fingerprint((64, 40, 16)), patch_voxels=10**6, volume_voxels=None, slices=True)
    assert flat["patch_size"] == [64, 40, 1]


def test_patches_by_hand() -> None:
    assert plan_patch((64, 64, 64), 64**3) == (64, 64, 64)
    assert plan_patch((60, 61, 5), 10**6) == (56, 56, 5)
    # 64 x 64 x 32 = 131072 are too many: all are covered whole, the first of the longest gives 8 (114688), then the
    # other one (100352), then the third, the only one covered whole (75264)
    assert plan_patch((64, 64, 32), 100_000) == (56, 56, 24)
    assert plan_patch((9, 9, 9), 1) == (8, 8, 8)  # never below the multiple


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 200)] * 3), st.integers(512, 10**6))
def test_patches_fit(shape, voxels) -> None:
    patch = plan_patch(shape, voxels)
    assert all(width % 8 == 0 or width == size < 8 for width, size in zip(patch, shape, strict=True))
    assert np.prod(patch) <= max(voxels, 512)


def test_pooling_by_hand() -> None:
    assert plan_pooling((64, 64, 64), (1.0, 1.0, 1.0), 3) == [[2, 2, 2]] * 3
    # slices of 5 mm wait until the plane's voxels are 4 mm: 5 <= 2 x 4
    assert plan_pooling((64, 64, 16), (1.0, 1.0, 5.0), 4) == [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]]
    assert plan_pooling((64, 64, 16), (1.0, 1.0, 4.0), 2) == [[2, 2, 1], [2, 2, 2]]  # just twice the plane's 2 mm
    # 16 -> 8 -> 4 voxels, then nothing is left to halve
    assert plan_pooling((16, 16, 16), (1.0, 1.0, 1.0), 4) == [[2, 2, 2]] * 2
    assert plan_pooling((7, 7, 7), (1.0, 1.0, 1.0), 4) == []
    assert plan_pooling((64, 6, 64), (1.0, 0.1, 1.0), 2) == [[2, 1, 2]] * 2  # a short fine axis holds up nobody


def test_levels_follow_the_patch_or_the_wish() -> None:
    small = {"patch_size": (16, 16, 16), "spacing_mm": (1.0, 1.0, 1.0)}
    assert plan_unet(small, {}) == {"spatial_dims": 3, "channels": [16, 32, 64], "pooling": [[2, 2, 2]] * 2}
    assert plan_unet(small, {"channels": (4, 8, 16, 32)})["pooling"] == [[2, 2, 2], [2, 2, 2], [1, 1, 1]]
    assert plan_unet(small, {"channels": (4, 8, 16), "pooling": 2})["pooling"] == 2
    slices = plan_unet({"patch_size": (32, 16, 1), "spacing_mm": None}, {})
    assert slices == {"spatial_dims": 2, "channels": [16, 32, 64, 128], "pooling": [[2, 2], [2, 2], [2, 1]]}
    assert plan_unet({"patch_size": (3, 3, 3), "spacing_mm": None}, {})["pooling"] == [[1, 1, 1]] * 2
