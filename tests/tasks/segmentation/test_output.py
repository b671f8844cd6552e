"""Which scans paths stand for, and which files a prediction makes."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny import files, save

from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.output import find_scans, organ_volumes_ml, predict_scans, read_channels
from saccade.tasks.segmentation.predictor import Segmentation, SegmentationPredictor

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])  # a voxel is 0.02 ml


class Fake(SegmentationPredictor):
    """Finds class 1 where the scan is 1; looks at what is bright."""

    attends = True

    def __init__(self, pattern: str = "{case}.nii.gz") -> None:
        data = {
            "root": ".",
            "label_names": {1: "liver", 4: "a b"},
            "patch_size": (4, 4, 4),
            "intensity": {"kind": "z_score"},
        }
        self.config = SegmentationConfig.parse(
            {"system": "unet", "data": data, "inference": {"file_pattern": pattern}}, "t"
        )

    def segment(self, volume: Volume, *, attention: bool = False, progress=None) -> Segmentation:
        if progress:
            progress(1, 2)
        if volume.array.max() > 90:
            raise InputError("bad scan.")
        maps = {"gate_0": volume.like(volume.array.astype(np.float32) / 3)} if attention else {}
        return Segmentation(volume.like((volume.array == 1).astype(np.uint8)), maps)


def scan(path: Path, seed: int = 0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 3, (5, 7, 3)).astype(np.int16), AFFINE)


def test_files_folders_and_data_sets(tmp_path) -> None:
    one, two = scan(tmp_path / "x" / "a.b.nii.gz"), scan(tmp_path / "y" / "c.nii")
    (tmp_path / "y" / "notes.txt").write_text("no scan")
    assert find_scans([one, tmp_path / "y"]) == [("a.b", (one,)), ("c", (two,))]
    first, second = scan(tmp_path / "z/imagesTs/p_0000.nii.gz"), scan(tmp_path / "z/imagesTs/p_0001.nii.gz")
    scan(tmp_path / "z/imagesTr/q_0000.nii.gz"), scan(tmp_path / "z/imagesTr/q_0001.nii.gz")
    assert ("p", (first, second)) in find_scans([tmp_path / "z"])
    (tmp_path / "dicom" / "s1").mkdir(parents=True)
    assert find_scans([tmp_path / "dicom"]) == [("dicom", (tmp_path / "dicom",))]


def test_paths_that_stand_for_nothing_or_too_much(tmp_path) -> None:
    one, two = scan(tmp_path / "x/a.nii.gz"), scan(tmp_path / "y/a.nii")
    with pytest.raises(InputError) as error:
        find_scans([one, two])
    assert str(error.value) == "predict: every scan must have a name of its own, found 'a' more than once."
    with pytest.raises(InputError) as error:
        find_scans([tmp_path / "gone"])
    assert str(error.value) == f"{tmp_path}/gone: there is no such file or folder."


def test_channels_of_several_files_are_stacked(tmp_path) -> None:
    paths = (scan(tmp_path / "p_0000.nii.gz", 0), scan(tmp_path / "p_0001.nii.gz", 1))
    both = read_channels(paths)
    assert both.array.shape == (5, 7, 3, 2)
    for channel, path in enumerate(paths):
        np.testing.assert_array_equal(both.array[..., channel], np.asarray(nib.load(path).dataobj))
    save(paths[1], np.zeros((5, 7, 4)))
    with pytest.raises(InputError) as error:
        read_channels(paths)
    assert str(error.value) == f"{paths[1]}: must have the shape of {paths[0]}, (5, 7, 3), got (5, 7, 4)."


def test_everything_a_prediction_leaves(tmp_path) -> None:
    scans = find_scans([scan(tmp_path / "in/a.nii.gz", 1), scan(tmp_path / "in/b.nii.gz", 2)])
    out, told = tmp_path / "deep" / "out", []
    done = list(predict_scans(Fake(), scans, out, attention=True, progress=lambda *n: told.append(n)))
    assert done == [out / "a.nii.gz", out / "b.nii.gz"]
    assert files(out) == {
        "a.nii.gz", "b.nii.gz", "attention/a_gate_0.nii.gz", "attention/b_gate_0.nii.gz",
        "labels.ctbl", "labels.json", "labels.label", "volumes.csv",
    }  # fmt: skip
    assert told == [("a", 1, 2, 0), ("b", 1, 2, 1)]
    label, map_ = nib.load(out / "b.nii.gz"), nib.load(out / "attention/b_gate_0.nii.gz")
    given = np.asarray(nib.load(tmp_path / "in/b.nii.gz").dataobj)
    assert (label.get_data_dtype(), map_.get_data_dtype()) == (np.uint8, np.float32)
    np.testing.assert_array_equal(np.asarray(label.dataobj), given == 1)
    np.testing.assert_allclose(map_.get_fdata(), given / 3, rtol=1e-6)
    np.testing.assert_array_equal(map_.affine, AFFINE)
    rows = list(csv.reader((out / "volumes.csv").open()))
    assert rows[0] == ["case", "liver (ml)", "a b (ml)"]
    assert [row[0] for row in rows[1:]] == ["a", "b"]
    assert float(rows[2][1]) == pytest.approx((given == 1).sum() * 0.02)
    assert rows[2][2] == "0.0"
    assert json.loads((out / "labels.json").read_text())
    assert '"liver"' in (out / "labels.label").read_text()
    assert "liver" in (out / "labels.ctbl").read_text()


def test_a_bad_scan_stops_at_its_turn_and_what_was_finished_stays(tmp_path) -> None:
    bad = save(tmp_path / "in/b.nii.gz", np.full((5, 7, 3), 99, np.int16))
    scans = find_scans([scan(tmp_path / "in/a.nii.gz"), bad])
    with pytest.raises(InputError, match=r"^bad scan\.$"):
        list(predict_scans(Fake(), scans, tmp_path / "out"))
    assert files(tmp_path / "out") == {"a.nii.gz", "labels.ctbl", "labels.json", "labels.label", "volumes.csv"}


def test_the_runs_own_pattern_names_the_files(tmp_path) -> None:
    (done,) = predict_scans(Fake("seg/{case}_seg.nii.gz"), find_scans([scan(tmp_path / "a.nii.gz")]), tmp_path / "out")
    assert done == tmp_path / "out/seg/a_seg.nii.gz"
    assert done.is_file()


@pytest.mark.parametrize(
    "pattern", ["x.nii.gz", "../{case}.nii.gz", "/{case}.nii.gz", "{case}{more}.nii.gz", "{case}.png"]
)
def test_patterns_that_would_lose_or_misplace_results(pattern) -> None:
    with pytest.raises(InputError, match=r"^t: inference\.file_pattern: Value error, must "):
        Fake(pattern)


def test_maps_are_not_promised_where_there_are_none(tmp_path) -> None:
    plain = Fake()
    plain.attends = False
    with pytest.raises(InputError) as error:
        list(predict_scans(plain, find_scans([scan(tmp_path / "a.nii.gz")]), tmp_path / "out", attention=True))
    assert str(error.value) == "predict: unet has no attention maps to write; leave --attention out."
    assert not (tmp_path / "out").exists()


def test_volumes_on_a_skewed_grid_by_hand() -> None:
    affine = np.array([[2.0, 1.0, 0, 0], [0, 3.0, 0, 0], [0, 0, -5.0, 0], [0, 0, 0, 1]])  # determinant -30: 0.03 ml
    array = np.zeros((5, 7, 3), np.uint8)
    array[0, :4, 0], array[1, 0, 0] = 2, 9
    assert organ_volumes_ml(Volume(array, affine), {2: "a", 3: "b"}) == {"a": 0.12, "b": 0.0}
