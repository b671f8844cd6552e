"""What of a case is shown, on which grid, where its planes meet, and what is left out."""

import nibabel as nib
import numpy as np
import pytest

from saccade.report.gather import gather
from saccade.report.scenes import read_scene

CT = {"kind": "ct_window", "low": -160, "high": 240}
ROOM = 1e6


def test_planes_meet_in_the_largest_true_structure(run):
    case = gather(run).cases[0]
    scene, notices = read_scene(case, CT, {1, 2}, ROOM)
    assert notices == []
    # The liver fills i 2..5, j 3..7, k 4..10: of the voxels nearest to its centre (3.5, 5, 7) the first is (3, 5, 7).
    assert scene.start == (3, 5, 7)
    assert scene.places == {1: (3, 5, 7), 2: (7, 4, 5)}
    np.testing.assert_array_equal(scene.truth, nib.load(case.source.label).get_fdata())
    np.testing.assert_array_equal(scene.prediction, nib.load(case.prediction).get_fdata())
    assert scene.original == scene.image.shape == (11, 13, 17)
    np.testing.assert_allclose(scene.affine, np.diag([2.0, 2.0, 3.0, 1.0]))


def test_a_ct_is_shown_in_HU_with_its_windows(run):
    case = gather(run).cases[0]
    scene, _ = read_scene(case, CT, {1, 2}, ROOM)
    scan = nib.load(case.source.images[0]).get_fdata()
    assert scene.unit == "HU"
    assert np.abs(scene.levels[scene.image] - scan)[(scan > -200) & (scan < 300)].max() <= 2.05
    assert [name for name, _, _ in scene.windows] == ["soft tissue", "lung", "bone", "full"]
    other, _ = read_scene(case, {**CT, "low": -100}, {1, 2}, ROOM)
    assert other.windows[-1] == ("as trained", -100.0, 240.0)


def test_another_scan_has_windows_of_its_own_values(run):
    case = gather(run).cases[0]
    scene, _ = read_scene(case, {"kind": "z_score"}, {1, 2}, ROOM)
    scan = nib.load(case.source.images[0]).get_fdata()
    (name, low, high), (full, _, _) = scene.windows
    assert (name, full, scene.unit) == ("1 to 99 %", "full", "")
    assert (low, high) == pytest.approx(np.percentile(scan, (1, 99)))
    inside = (scan > low) & (scan < high)
    assert np.abs(scene.levels[scene.image] - scan)[inside].max() < np.ptp(scan) / 500


def test_a_flipped_scan_gives_the_same_pictures(fake, run):
    case = gather(run).cases[0]
    before, _ = read_scene(case, CT, set(), ROOM)
    paths = [case.source.images[0], case.source.label, case.prediction, case.attention["gate1"]]
    for path in paths:  # the same volumes stored in axis order (k, -i, j)
        image = nib.load(path)
        turned = image.as_reoriented(np.array([[1, -1], [2, 1], [0, 1]]))
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    after, notices = read_scene(case, CT, set(), ROOM)
    assert notices == []
    for name in ("image", "truth", "prediction", "affine"):
        np.testing.assert_allclose(getattr(before, name), getattr(after, name))
    np.testing.assert_array_equal(before.maps["gate1"].values, after.maps["gate1"].values)
    assert after.start == before.start


def test_a_large_scan_is_shown_coarser_and_stays_in_place(fake, run):
    case = gather(run).cases[0]
    shape = (600, 20, 3)
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    label = np.zeros(shape, np.uint8)
    label[540:570] = 2
    image = np.where(label > 0, 100, 0).astype(np.int16)
    for path, array in ((case.source.images[0], image), (case.source.label, label), (case.prediction, label)):
        fake.save(path, array, affine)
    fake.save(case.attention["gate1"], image / np.float32(100), affine)
    scene, notices = read_scene(case, CT, {1, 2}, ROOM)
    assert notices == []
    assert scene.image.shape == scene.truth.shape == (512, 20, 3)
    assert scene.original == shape
    assert scene.maps["gate1"].values.shape == (96, 20, 3)
    middle = scene.affine @ [*scene.places[2], 1]
    assert middle[0] == pytest.approx(0.5 * 554.5, abs=0.6)
    inside = scene.truth == 1  # label value 2 is the second class, but the first is not here: index follows classes
    assert not inside.any()
    assert scene.values == [1, 2]
    np.testing.assert_allclose(scene.levels[scene.image[scene.truth == 2]][20:-20], 100, atol=2.1)


def test_structures_that_are_no_class_of_the_run_are_left_out(run):
    case = gather(run).cases[0]
    scene, _ = read_scene(case, CT, {2}, ROOM)
    assert scene.start == (7, 4, 5)
    assert scene.values == [2]
    assert set(np.unique(scene.truth)) == {0, 1}


def test_more_labels_than_8_bits_are_said(fake, run):
    case = gather(run).cases[0]
    many = (np.arange(np.prod(fake.SHAPE)) % 300).reshape(fake.SHAPE).astype(np.int16)
    fake.save(case.source.label, many)
    scene, notices = read_scene(case, CT, set(), ROOM)
    assert notices == ["Only the first 255 of 299 label values are shown."]
    assert scene.truth.max() == 255


def test_what_lies_elsewhere_is_not_shown(fake, run):
    case = gather(run).cases[0]
    shifted = np.diag([2.0, 2.0, 3.0, 1.0])
    shifted[0, 3] = 40
    fake.save(case.prediction, fake.labels(), shifted)
    case.attention["gate1"].write_bytes(b"not a scan")
    scene, notices = read_scene(case, CT, set(), ROOM)
    assert scene.prediction is None
    assert scene.maps == {}
    assert notices[0] == "bad.nii.gz must lie on the scan's grid, shape (11, 13, 17), got another: not shown."
    assert "bad_gate1.nii.gz" in notices[1]


def test_without_truth_the_prediction_leads_and_without_both_the_middle(run):
    case = gather(run).cases[0]
    case.source.label.unlink()
    scene, notices = read_scene(case, {}, set(), ROOM)
    assert scene.truth is None
    assert scene.start == (3, 6, 7)  # predicted one voxel further to the front
    assert len(notices) == 1
    case.prediction.unlink()
    scene, _ = read_scene(case, {}, set(), ROOM)
    assert scene.start == (5, 6, 8)
    case.source.images[0].unlink()
    scene, notices = read_scene(case, {}, set(), ROOM)
    assert scene is None
    assert "bad.nii.gz" in notices[0]


def test_the_values_of_a_map_and_a_flat_one(fake, run):
    case = gather(run).cases[0]
    truth = nib.load(case.attention["gate1"]).get_fdata()
    map_ = read_scene(case, CT, set(), ROOM)[0].maps["gate1"]
    assert not map_.flat
    np.testing.assert_allclose(map_.low + map_.values / 255 * (map_.high - map_.low), truth, atol=0.002)
    fake.save(case.attention["gate1"], np.full(fake.SHAPE, 0.5, np.float32))
    map_ = read_scene(case, CT, set(), ROOM)[0].maps["gate1"]
    assert (map_.flat, map_.low, map_.high) == (True, 0.5, 0.5)
    fake.save(case.attention["gate1"], np.full(fake.SHAPE, np.nan, np.float32))
    assert read_scene(case, CT, set(), ROOM)[0].maps["gate1"].flat


def test_the_runs_own_copy_of_the_truth_serves_when_the_data_lost_it(fake, run):
    case = gather(run).cases[0]
    before, _ = read_scene(case, CT, set(), ROOM)
    fake.save(run / "validation" / "truth" / "bad.nii.gz", fake.labels())
    for path in (run.parent / "data" / "labels").iterdir():
        path.unlink()
    record = gather(run)
    assert record.notices[-1] == "The true label is not to be found for: good, middling."
    after, notices = read_scene(record.cases[0], CT, set(), ROOM)
    assert notices == []
    np.testing.assert_array_equal(after.truth, before.truth)
    assert [case.name for case in record.cases] == ["bad", "middling", "good"]  # the copies are no cases of their own
