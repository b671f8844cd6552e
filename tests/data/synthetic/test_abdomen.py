import json
from functools import cache

import numpy as np
import pytest

from saccade.data.layout_labels import BTCV_LABELS
from saccade.data.orient import to_canonical
from saccade.data.synthetic import make_abdomen, simulate_abdomen
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError

# ml, wide: adults on contrast CT lie well inside. The gallbladder may be absent.
VOLUMES_ML = {
    1: (40, 450),
    2: (80, 300),
    3: (80, 300),
    4: (2, 130),
    5: (5, 60),
    6: (500, 2300),
    7: (150, 900),
    8: (40, 220),
    9: (30, 220),
    10: (12, 80),
    11: (25, 170),
    12: (1, 15),
    13: (1, 15),
}
CASES = range(1, 9)


@cache
def simulated(case, seed=0, size="small"):
    return simulate_abdomen(seed, case, size)


def in_patient(array, affine):
    return to_canonical(Volume(array, affine))


def centre_mm(label, affine, number):
    index = np.argwhere(label == number)
    return (index @ affine[:3, :3].T + affine[:3, 3]).mean(0)


def voxel_ml(affine):
    return abs(np.linalg.det(affine[:3, :3])) / 1000


@pytest.mark.parametrize("case", CASES)
def test_every_organ_has_a_plausible_volume(case):
    _, label, affine = simulated(case)
    for number, (low, high) in VOLUMES_ML.items():
        ml = (label == number).sum() * voxel_ml(affine)
        if number == 4 and ml == 0:
            continue
        assert low < ml < high, f"{BTCV_LABELS[number]}: {ml:.1f} ml"
    assert set(np.unique(label)) <= set(range(14))


def test_some_cases_have_no_gallbladder_and_most_have_one():
    absent = [case for case in CASES if not (simulated(case)[1] == 4).any()]
    assert 1 <= len(absent) <= 5


@pytest.mark.parametrize("case", CASES)
def test_organs_lie_where_they_belong_in_world_mm_whatever_the_axis_order(case):
    _, label, affine = simulated(case)
    at = {number: centre_mm(label, affine, number) for number in BTCV_LABELS if (label == number).any()}
    for right, left in ((6, 1), (2, 3), (12, 13), (9, 8)):  # liver and spleen, kidneys, adrenals, cava and aorta
        assert at[right][0] > at[left][0] + 5
    assert at[11][1] > at[8][1] + 10  # the pancreas in front of the aorta
    assert at[12][2] > at[2][2] + 5  # the adrenals above their kidneys
    assert at[13][2] > at[3][2] + 5
    assert at[5][2] > at[7][2] + 20  # the esophagus above the stomach


def test_axes_come_in_several_orders_and_grids_are_sometimes_oblique():
    codes, oblique, spacings = set(), 0, set()
    for case in CASES:
        affine = simulated(case)[2]
        rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        codes.add(tuple(np.argmax(np.abs(rotation), axis=0)) + tuple(np.sign(rotation[np.abs(rotation) > 0.9])))
        largest = np.abs(rotation).max(0)
        oblique += bool((largest < 0.9999).any())
        assert (largest >= np.cos(np.deg2rad(10.01))).all()
        spacings.add(tuple(np.linalg.norm(affine[:3, :3], axis=0)))
    assert len(codes) >= 3
    assert 1 <= oblique <= 9
    assert len(spacings) == len(CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_field_is_a_whole_abdomen_with_small_voxels_of_the_promised_size(case):
    image, label, affine = simulated(case)
    scan = in_patient(image, affine)
    assert scan.shape[:2] == (96, 96)
    assert 48 <= scan.shape[2] <= 60
    assert 3.5 <= scan.spacing_mm[0] <= 4.0
    assert 5.0 <= scan.spacing_mm[2] <= 6.0
    assert image.dtype == np.int16
    assert label.dtype == np.uint8


@pytest.mark.parametrize("case", CASES)
def test_hu_are_those_of_a_portal_venous_scan(case):
    image, label, affine = simulated(case)
    median = {number: np.median(image[label == number]) for number in BTCV_LABELS if (label == number).any()}
    expected = {1: (85, 145), 2: (110, 200), 3: (110, 200), 6: (80, 140), 8: (105, 190), 9: (80, 170), 11: (50, 125)}
    for number, (low, high) in expected.items():
        assert low < median[number] < high, f"{BTCV_LABELS[number]}: {median[number]:.0f} HU"
    assert image.min() >= -1024
    edge = in_patient(image, affine).array[:, -2:]
    assert np.abs(np.median(edge) + 1000) < 30  # the edge of the field is air


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_labelled_outside_the_body(case):
    image, label, affine = simulated(case)
    scan, organs = in_patient(image, affine).array, in_patient(label, affine).array > 0
    body = scan > -300
    for k in np.flatnonzero(organs.any((0, 1))):
        first, last = (np.flatnonzero(body[:, :, k].any(1))[n] for n in (0, -1))
        inside = np.flatnonzero(organs[:, :, k].any(1))
        assert first < inside[0]
        assert inside[-1] < last


def test_a_case_depends_on_its_seed_and_number_alone(tmp_path):
    assert make_abdomen(tmp_path / "two", 2, seed=5) == ["img0001", "img0002"]
    make_abdomen(tmp_path / "one", 1, seed=5)
    for kind in ("img/img0001.nii.gz", "label/label0001.nii.gz"):
        one, two = (read_volume(tmp_path / name / "Training" / kind) for name in ("one", "two"))
        np.testing.assert_array_equal(one.array, two.array)
        np.testing.assert_array_equal(one.affine, two.affine)


def test_other_seeds_and_cases_are_other_patients():
    centres = [centre_mm(*simulated(1, seed)[1:], 11) - centre_mm(*simulated(1, seed)[1:], 8) for seed in (0, 1, 2)]
    centres += [centre_mm(*simulated(case)[1:], 11) - centre_mm(*simulated(case)[1:], 8) for case in (2, 3)]
    for n, one in enumerate(centres):
        for other in centres[:n]:
            assert np.linalg.norm(one - other) > 1


def test_the_files_are_a_btcv_data_set(tmp_path):
    done = []
    make_abdomen(tmp_path, 2, seed=3, progress=lambda case, cases: done.append((case, cases)))
    assert done == [(1, 2), (2, 2)]
    image, label, affine = simulate_abdomen(3, 2)
    stored = read_volume(tmp_path / "Training/img/img0002.nii.gz")
    np.testing.assert_array_equal(stored.array, image)
    np.testing.assert_allclose(stored.affine, affine, atol=1e-4)
    assert stored.array.dtype == np.int16
    mask = read_volume(tmp_path / "Training/label/label0002.nii.gz")
    np.testing.assert_array_equal(mask.array, label)
    np.testing.assert_array_equal(mask.affine, stored.affine)
    assert mask.array.dtype == np.uint8
    assert json.loads((tmp_path / "labels.json").read_text("utf-8"))["11"] == "pancreas"
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 4


def test_both_sizes_show_the_same_patient():
    _, small, coarse = simulated(2)
    _, full, fine = simulated(2, size="full")
    volumes = np.array(
        [[(small == n).sum() * voxel_ml(coarse), (full == n).sum() * voxel_ml(fine)] for n in BTCV_LABELS]
    )
    assert all(VOLUMES_ML[n][0] < volumes[n - 1, 1] < VOLUMES_ML[n][1] for n in BTCV_LABELS)
    large = volumes[:, 1] > 60
    np.testing.assert_allclose(volumes[large, 0], volumes[large, 1], rtol=0.06)
    for number in (6, 11):
        assert np.linalg.norm(centre_mm(small, coarse, number) - centre_mm(full, fine, number)) < 2


def test_a_threshold_that_finds_the_pancreas_finds_mostly_other_things():
    for case in (1, 2, 3):
        image, label, _ = simulated(case)
        low, high = np.percentile(image[label == 11], [15, 85])
        assert (label[(image >= low) & (image <= high)] == 11).mean() < 0.15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "make_abdomen: cases must be 1 or more, got 0."),
        ((2, -1), "simulate_abdomen: seed and case must be 0 or more, got -1 and 1."),
        ((2, 1, "small", "c"), "simulate_abdomen: unknown hospital 'c'. Known: a, b."),
        ((2, 1, "smal"), "simulate_abdomen: unknown size 'smal'. Did you mean 'small'? Known: small, full."),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(InputError) as error:
        make_abdomen(tmp_path / "out", *arguments)
    assert str(error.value) == message
    assert not (tmp_path / "out").exists()


def test_another_hospital_has_other_patients_contrast_noise_and_slices():
    (image, label, affine), (other, other_label, other_affine) = (
        simulate_abdomen(3, 1, hospital=hospital) for hospital in ("a", "b")
    )
    liver, other_liver = image[label == 6].astype(float), other[other_label == 6].astype(float)
    assert other_liver.mean() < liver.mean() - 25
    assert other_liver.std() > liver.std() + 4
    voxel_mm3, other_voxel_mm3 = (abs(np.linalg.det(a[:3, :3])) for a in (affine, other_affine))
    share = other_liver.size * other_voxel_mm3 / (liver.size * voxel_mm3)
    assert share == pytest.approx(0.9 * 0.84 * 0.94, rel=0.05)
    thickness, other_thickness = (np.linalg.norm(a[:3, :3], axis=0).max() for a in (affine, other_affine))
    assert other_thickness == pytest.approx(1.4 * thickness)
    assert np.unique(other_label).tolist() == np.unique(label).tolist()
