"""Which scans paths stand for."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny import save

from saccade.errors import InputError
from saccade.tasks.segmentation.scans import find_scans, read_channels, scan_state


def scan(path: Path, seed: int = 0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 3, (5, 7, 3)).astype(np.int16))


def test_files_folders_and_data_sets(tmp_path, monkeypatch) -> None:
    one, two = scan(tmp_path / "x" / "a.b.nii.gz"), scan(tmp_path / "y" / "c.nii")
    (tmp_path / "y" / "notes.txt").write_text("no scan")
    assert find_scans([one, tmp_path / "y"]) == [("a.b", (one,)), ("c", (two,))]
    first, second = scan(tmp_path / "z/imagesTs/p_0000.nii.gz"), scan(tmp_path / "z/imagesTs/p_0001.nii.gz")
    scan(tmp_path / "z/imagesTr/q_0000.nii.gz"), scan(tmp_path / "z/imagesTr/q_0001.nii.gz")
    assert ("p", (first, second)) in find_scans([tmp_path / "z"])
    (tmp_path / "dicom" / "s1").mkdir(parents=True)
    assert find_scans([tmp_path / "dicom"]) == [("dicom", (tmp_path / "dicom",))]
    monkeypatch.chdir(tmp_path / "dicom")
    assert find_scans([Path()]) == [("dicom", (Path(),))]


def test_results_within_the_inputs_are_no_scans(tmp_path) -> None:
    one = scan(tmp_path / "in/a.nii.gz")
    scan(tmp_path / "in/out/a.nii.gz"), scan(tmp_path / "series/out/series.nii.gz")
    (tmp_path / "in/out/dicom_seg").mkdir()
    (tmp_path / "in/out/dicom_seg/a.dcm").write_bytes(bytes(128) + b"DICM")
    assert find_scans([tmp_path / "in"], apart_from=tmp_path / "in/out") == [("a", (one,))]
    series = tmp_path / "series"
    assert find_scans([series], apart_from=series / "out") == [("series", (series,))]
    (series / "1.dcm").write_text("1")
    before = scan_state([series], apart_from=series / "out")
    scan(series / "out/more.nii.gz")
    assert scan_state([series], apart_from=series / "out") == before != scan_state([series])
    (series / "1.dcm").write_text("12")
    assert scan_state([series], apart_from=series / "out") != before


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
