from pathlib import Path

import numpy as np
import pytest

from saccade.data.layouts import case_id, pair_cases
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError


def label(path: Path) -> None:
    write_volume(Volume(np.ones((2, 3, 5), np.uint8), np.eye(4)), path)


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("img/img0001.nii.gz", "img0001"),
        ("label/label0001.nii.gz", "img0001"),
        ("seg/img0001_seg.nii.gz", "img0001"),
        ("label001.nii.gz", "img001"),
        ("hippocampus_001.nii.gz", "hippocampus_001"),
        ("case_0000.nii.gz", "case_0000"),
        ("seg_case7.nrrd", "case7"),
        ("label_case7.mha", "case7"),
        ("case7_label.nii", "case7"),
        ("case7.seg.nrrd", "case7"),
        ("PANCREAS_0001", "PANCREAS_0001"),
        ("label.nii.gz", "label"),
    ],
)
def test_case_id(path: str, id: str) -> None:
    assert case_id(path) == id
    assert case_id(Path("/somewhere") / path) == id


def test_pairs_by_the_strictest_rule_that_fits(tmp_path: Path) -> None:
    predictions = ["img0001_seg", "img002", "case_a_0000", "PANCREAS_0007", "hippocampus_003", "alone"]
    truth = ["label0001", "label0002", "case_a", "label0007", "hippocampus_003", "hippocampus_030"]
    for name in predictions:
        label(tmp_path / "p" / f"{name}.nii.gz")
    for name in truth:
        label(tmp_path / "t" / f"{name}.nii.gz")
    pairs, missing, extra = pair_cases(tmp_path / "p", tmp_path / "t")
    assert {id: (p.name, t.name) for id, (p, t) in pairs.items()} == {
        "PANCREAS_0007": ("PANCREAS_0007.nii.gz", "label0007.nii.gz"),
        "case_a": ("case_a_0000.nii.gz", "case_a.nii.gz"),
        "hippocampus_003": ("hippocampus_003.nii.gz", "hippocampus_003.nii.gz"),
        "img0001": ("img0001_seg.nii.gz", "label0001.nii.gz"),
        "img002": ("img002.nii.gz", "label0002.nii.gz"),
    }
    assert missing == ["hippocampus_030"]
    assert extra == ["alone"]


def test_a_number_that_looks_like_a_channel_is_kept_where_both_folders_have_it(tmp_path: Path) -> None:
    for folder in ("p", "t"):
        label(tmp_path / folder / "scan_0000.nii.gz")
        label(tmp_path / folder / "scan_0001.nii.gz")
    pairs, missing, extra = pair_cases(tmp_path / "p", tmp_path / "t")
    assert (list(pairs), missing, extra) == (["scan_0000", "scan_0001"], [], [])


def test_nothing_is_paired_on_a_guess(tmp_path: Path) -> None:
    for name in ("a_7", "b_7"):
        label(tmp_path / "p" / f"{name}.nii.gz")
    label(tmp_path / "t/label0007.nii.gz")
    assert pair_cases(tmp_path / "p", tmp_path / "t") == ({}, ["img0007"], ["a_7", "b_7"])


def test_pair_cases_refuses_what_it_cannot_pair(tmp_path: Path) -> None:
    for name in ("p/img0001.nii.gz", "p/img0001_seg.nii.gz", "t/label0001.nii.gz"):
        label(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as error:
        pair_cases(tmp_path / "p", tmp_path / "t")
    assert str(error.value) == f"{tmp_path}/p: must hold one file per case, got img0001.nii.gz and img0001_seg.nii.gz."
    with pytest.raises(InputError) as error:
        pair_cases(tmp_path / "t", tmp_path / "empty")
    assert str(error.value) == f"{tmp_path}/empty: must hold label maps (.nii, .nii.gz, .nrrd or .mha), got none."
    with pytest.raises(InputError) as error:
        pair_cases(tmp_path / "gone", tmp_path / "t")
    assert str(error.value) == f"{tmp_path}/gone: must be a folder of label maps, got nothing."
