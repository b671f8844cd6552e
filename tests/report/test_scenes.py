"""Which planes of a case are cut, and what is left out."""

import nibabel as nib
import numpy as np
import pytest

from saccade.report.gather import gather
from saccade.report.scenes import read_scene

CT = {"kind": "ct_window", "low": -160, "high": 240}


def test_planes_meet_in_the_largest_true_structure(run):
    case = gather(run).cases[0]
    scene, notices = read_scene(case, CT, {1, 2})
    assert notices == []
    # The liver fills i 2..5, j 3..7, k 4..10: of the voxels nearest to its centre (3.5, 5, 7) the first is (3, 5, 7).
    assert scene.centre_mm == pytest.approx((6.0, 10.0, 21.0))
    assert (scene.truth.axial == 1).sum() == 4 * 5
    assert (scene.truth.sagittal == 1).sum() == 5 * 7
    assert scene.window == "window −160 to 240 HU"


def test_a_flipped_scan_gives_the_same_pictures(fake, run):
    case = gather(run).cases[0]
    before, _ = read_scene(case, CT, set())
    paths = [case.source.images[0], case.source.label, case.prediction, case.attention["gate1"]]
    for path in paths:  # the same volumes stored in axis order (k, -i, j)
        image = nib.load(path)
        turned = image.as_reoriented(np.array([[1, -1], [2, 1], [0, 1]]))
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    after, notices = read_scene(case, CT, set())
    assert notices == []
    for old, new in zip(
        (*before.grey, *before.truth, *before.prediction, *before.attention["gate1"].planes),
        (*after.grey, *after.truth, *after.prediction, *after.attention["gate1"].planes),
        strict=True,
    ):
        np.testing.assert_array_equal(old, new)
    assert after.spacing_mm == pytest.approx((2.0, 2.0, 3.0))
    assert after.centre_mm == pytest.approx(before.centre_mm)


def test_structures_that_are_no_class_of_the_run_are_left_out(run):
    case = gather(run).cases[0]
    scene, _ = read_scene(case, CT, {2})
    assert scene.centre_mm == pytest.approx((7 * 2.0, 4 * 2.0, 5 * 3.0))
    assert set(np.unique(scene.truth.axial)) == {0, 2}


def test_what_lies_elsewhere_is_not_drawn(fake, run):
    case = gather(run).cases[0]
    shifted = np.diag([2.0, 2.0, 3.0, 1.0])
    shifted[0, 3] = 40
    fake.save(case.prediction, fake.labels(), shifted)
    case.attention["gate1"].write_bytes(b"not a scan")
    scene, notices = read_scene(case, CT, set())
    assert scene.prediction is None
    assert scene.attention == {}
    assert notices[0] == "bad.nii.gz must lie on the scan's grid, shape (11, 13, 17), got another: not shown."
    assert "bad_gate1.nii.gz" in notices[1]


def test_without_truth_the_prediction_leads_and_without_both_the_middle(run):
    case = gather(run).cases[0]
    case.source.label.unlink()
    scene, notices = read_scene(case, {}, set())
    assert scene.truth is None
    assert scene.centre_mm == pytest.approx((6.0, 12.0, 21.0))  # predicted one voxel further to the front
    assert len(notices) == 1
    assert scene.window.startswith("grey from the 1st to the 99th percentile (")
    case.prediction.unlink()
    scene, _ = read_scene(case, {}, set())
    assert scene.centre_mm == pytest.approx((5 * 2.0, 6 * 2.0, 8 * 3.0))


def test_a_flat_map_is_known_as_flat(fake, run):
    case = gather(run).cases[0]
    fake.save(case.attention["gate1"], np.full(fake.SHAPE, 0.5, np.float32))
    scene, _ = read_scene(case, CT, set())
    assert scene.attention["gate1"].flat
    assert scene.attention["gate1"].low == 0.5


def test_the_runs_own_copy_of_the_truth_serves_when_the_data_lost_it(fake, run):
    case = gather(run).cases[0]
    before, _ = read_scene(case, CT, set())
    fake.save(run / "validation" / "truth" / "bad.nii.gz", fake.labels())
    for path in (run.parent / "data" / "labels").iterdir():
        path.unlink()
    record = gather(run)
    assert record.notices[-1] == "The true label is not to be found for: good, middling."
    after, notices = read_scene(record.cases[0], CT, set())
    assert notices == []
    np.testing.assert_array_equal(after.truth.axial, before.truth.axial)
    assert [case.name for case in record.cases] == ["bad", "middling", "good"]  # the copies are no cases of their own
