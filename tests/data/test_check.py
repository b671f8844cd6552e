import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from saccade.data.check import Fault, check_dataset
from saccade.data.layouts import find_dataset, load_case, scan_dataset
from saccade.data.volume import Volume, read_volume, write_volume
from saccade.errors import InputError

SHAPE = (5, 7, 11)
AFFINE = np.array([[-0.7, 0, 0, 20.0], [0, 1.3, 0, -30.0], [0, 0, 2.9, 5.0], [0, 0, 0, 1]])
SHARED = Path(__file__).parents[2] / "../shared/data"


def mr(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 900, shape).astype(np.float32)


def shifted(by: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[2, 3] += by
    return affine


class Folder:
    """A Decathlon data set of MR scans; `case` writes a good case but for what is given."""

    def __init__(self, root: Path, cases: int) -> None:
        self.root, self.count = root, 0
        self.good = [self.case() for _ in range(cases)]
        content = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "head", "2": "tail"}}
        (root / "dataset.json").write_text(json.dumps(content))

    def case(
        self, image: np.ndarray | None = None, label: np.ndarray | None = None, affine: np.ndarray = AFFINE
    ) -> str:
        self.count += 1
        id = f"mr_{self.count:03}"
        label = np.resize(np.array([0, 1, 2], np.uint8), SHAPE) if label is None else label
        write_volume(Volume(mr(self.count) if image is None else image, AFFINE), self.image(id))
        write_volume(Volume(label, affine), self.label(id))
        return id

    def image(self, id: str) -> Path:
        return self.root / f"imagesTr/{id}.nii.gz"

    def label(self, id: str) -> Path:
        return self.root / f"labelsTr/{id}.nii.gz"


def with_value(value: float, dtype: type = np.float32) -> np.ndarray:
    array = np.resize(np.array([0, 1, 2], dtype), SHAPE)
    array[1, 2, 3] = value
    return array


def plant_twenty(folder: Folder) -> dict[tuple[str, str], str]:
    """Twenty distinct faults, a case each: (kind, file) -> a word that `expected` or `found` must hold."""
    planted: dict[tuple[str, str], str] = {}

    def plant(kind: str, file: Path, word: str) -> None:
        planted[kind, str(file)] = word

    id = folder.case()
    folder.image(id).write_text("this is no scan")
    plant("unreadable", folder.image(id), "whole volume file")
    id = folder.case()
    folder.image(id).write_bytes(folder.image(id).read_bytes()[:700])
    plant("truncated", folder.image(id), "truncated")
    id = folder.case()
    whole = gzip.decompress(folder.label(id).read_bytes())
    folder.label(id).write_bytes(gzip.compress(whole[:-20]))
    plant("truncated", folder.label(id), "promises 385 bytes")
    id = folder.case()
    folder.image(id).write_bytes(b"")
    plant("truncated", folder.image(id), "empty")
    id = folder.case(label=np.ones((5, 7, 13), np.uint8))
    plant("geometry", folder.label(id), "(5, 7, 13)")
    id = folder.case(affine=shifted(2.0))
    plant("geometry", folder.label(id), "up to 2 off")
    id = folder.case(affine=shifted(5e-4))
    plant("geometry", folder.label(id), "up to 0.0005 off")
    id = folder.case(label=with_value(9, np.uint8))
    plant("label value", folder.label(id), "9")
    id = folder.case(label=with_value(-3, np.int16))
    plant("label value", folder.label(id), "-3 to 2")
    id = folder.case(label=with_value(1.25))
    plant("non-integer label", folder.label(id), "1 voxels such as 1.25")
    id = folder.case(image=np.where(mr(91) > 890, np.nan, mr(91)).astype(np.float32))
    plant("not finite", folder.image(id), f"{int((mr(91) > 890).sum())} NaN and 0 infinite")
    id = folder.case(label=with_value(np.inf))
    plant("not finite", folder.label(id), "0 NaN and 1 infinite")
    id = folder.case(label=np.zeros(SHAPE, np.uint8))
    plant("empty label", folder.label(id), "background only")
    id = folder.case(image=mr(2))  # the voxels of mr_002
    plant("duplicate case", folder.image(id), "mr_002")
    id = folder.case()
    shutil.copy(folder.image(id), folder.root / f"imagesTr/{id.upper()}.nii.gz")
    plant("duplicate case", folder.image(id), "a second one")
    id = folder.case(image=mr(92, (*SHAPE, 3)))
    plant("4D", folder.image(id), "3")
    id = folder.case(label=np.ones((*SHAPE, 2), np.uint8))
    plant("4D", folder.label(id), "2 channels")
    id = folder.case()
    folder.label(id).unlink()
    plant("missing label", folder.image(id), "labelsTr")
    id = folder.case()
    folder.image(id).unlink()
    plant("missing image", folder.label(id), "an image of this case")
    id = folder.case(image=mr(93) * 2 - 1000)
    plant("intensity range", folder.image(id), "no Hounsfield units")
    return planted


def test_twenty_planted_faults_are_found_and_nothing_else(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 7)
    planted = plant_twenty(folder)
    assert len(planted) == 20
    faults = check_dataset(tmp_path)
    found = {(fault.kind, fault.file): fault for fault in faults}
    assert set(found) == set(planted)
    assert len(faults) == 20
    for key, word in planted.items():
        assert word in found[key].expected + found[key].found, found[key]
    assert [fault.file for fault in faults if fault.fixable] == [str(folder.label("mr_014"))]


def test_a_clean_set_has_no_faults(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 7)
    write_volume(Volume(mr(50), AFFINE), tmp_path / "imagesTs/mr_100.nii.gz")  # unlabelled on purpose
    for file in ("imagesTr/._mr_001.nii.gz", "labelsTr/._mr_001.nii.gz"):
        (tmp_path / file).write_bytes(b"\0\5\26\7")
    assert check_dataset(tmp_path) == []
    assert folder.good[0] == "mr_001"


def test_scan_without_a_label_folder_is_no_fault(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_volume(Volume(mr(seed), AFFINE), tmp_path / f"images/{seed}.nii.gz")
    assert check_dataset(tmp_path) == []


def test_fix_changes_only_the_affine_of_the_labels_that_are_nearly_right(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 5)
    plant_twenty(folder)
    near = folder.label("mr_012")
    assert abs(read_volume(near).affine[2, 3] - 5.0005) < 1e-4
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    label = read_volume(near)
    faults = check_dataset(tmp_path, fix=True)
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert changed == [near]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(before)
    assert [(fault.file, fault.kind) for fault in faults if fault.fixed] == [(str(near), "geometry")]
    np.testing.assert_array_equal(read_volume(near).affine, read_volume(folder.image("mr_012")).affine)
    np.testing.assert_array_equal(read_volume(near).array, label.array)
    assert read_volume(near).array.dtype == label.array.dtype
    assert len(check_dataset(tmp_path)) == 19


def test_what_may_be_trained_on_is_what_load_case_takes(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 4)
    plant_twenty(folder)
    refused = {"unreadable", "truncated", "label value", "non-integer label", "not finite", "geometry"}
    by_case: dict[str, list[Fault]] = {}
    for fault in check_dataset(tmp_path):
        by_case.setdefault(fault.case, []).append(fault)
    for case in scan_dataset(tmp_path).cases:
        own = [f for f in by_case.get(case.id, []) if f.kind in refused and not f.fixable]
        # a value outside the class list is the training's business, not the reader's
        own = [f for f in own if f.found != "9"] + [f for f in by_case.get(case.id, []) if "2 channels" in f.found]
        if own:
            with pytest.raises(InputError):
                load_case(case)
        else:
            load_case(case)


def test_constant_image(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 4)
    id = folder.case(image=np.full(SHAPE, 3, np.int16))
    folder.case(image=np.full(SHAPE, 3, np.int16))  # said once for what it is, not as a duplicate too
    assert [(f.case, f.kind) for f in check_dataset(tmp_path)] == [(id, "constant image"), ("mr_006", "constant image")]


def test_listed_but_missing_file_and_broken_json(tmp_path: Path) -> None:
    Folder(tmp_path, 4)
    content = {"modality": {"0": "MRI"}, "labels": {"1": "head", "2": "tail"}, "test": ["./imagesTs/mr_900.nii.gz"]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert [(f.case, f.kind, f.file) for f in check_dataset(tmp_path)] == [
        ("mr_900", "missing file", f"{tmp_path}/imagesTs/mr_900.nii.gz")
    ]
    (tmp_path / "dataset.json").write_text('{"labels": ')
    (fault,) = check_dataset(tmp_path)
    assert (fault.kind, fault.file, fault.expected) == ("list", f"{tmp_path}/dataset.json", "a JSON object")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"1": "a", "b": 1}', "must occur once"),
        ('{"one": "liver"}', "must pair a whole number with a name"),
        ("[1, 2]", "must be a JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"liver": 1, "ignore": 2}', "ignore label"),
    ],
)
def test_unusable_label_names(tmp_path: Path, content: str, word: str) -> None:
    write_volume(Volume(mr(1), AFFINE), tmp_path / "images/a.nii.gz")
    write_volume(Volume(with_value(2, np.uint8), AFFINE), tmp_path / "labels/a.nii.gz")
    (tmp_path / "labels.json").write_text(content)
    (fault,) = check_dataset(tmp_path)
    assert (fault.kind, fault.file) == ("list", f"{tmp_path}/labels.json")
    assert word in fault.found


@pytest.mark.parametrize(
    ("name", "text"), [("cases.csv", b"image,label\n\xff\xfe"), ("datalist.json", b'{"training": [')]
)
def test_undecodable_list_file(tmp_path: Path, name: str, text: bytes) -> None:
    write_volume(Volume(mr(1), AFFINE), tmp_path / "a.nii.gz")
    (tmp_path / name).write_bytes(text)
    (fault,) = check_dataset(tmp_path)
    assert (fault.case, fault.kind, fault.file) == ("", "list", f"{tmp_path}/{name}")
    with pytest.raises(InputError, match="list: expected columns image, label, split, id, or lists training"):
        find_dataset(tmp_path)


def test_list_with_an_unknown_split_and_a_row_without_image(tmp_path: Path) -> None:
    write_volume(Volume(mr(1), AFFINE), tmp_path / "a.nii.gz")
    (tmp_path / "cases.csv").write_text("image,label,split\na.nii.gz,,holdout\n,,train\n")
    assert [(f.kind, f.expected, f.found) for f in check_dataset(tmp_path)] == [
        ("list", "an image in every row", "none"),
        ("list", "split train, validation or test", "'holdout'"),
    ]


def test_a_missing_channel_file(tmp_path: Path) -> None:
    for case, channels in (("a", 2), ("b", 2), ("c", 1)):
        for channel in range(channels):
            write_volume(Volume(mr(ord(case) + channel), AFFINE), tmp_path / f"imagesTr/{case}_000{channel}.nii.gz")
        write_volume(Volume(with_value(2, np.uint8), AFFINE), tmp_path / f"labelsTr/{case}.nii.gz")
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"x": 1, "y": 2}}')
    (fault,) = check_dataset(tmp_path)
    assert (fault.case, fault.kind, fault.expected, fault.found) == (
        "c",
        "channel count",
        "2 channel file(s)",
        "c_0000.nii.gz",
    )


def test_declared_channels_count_more_than_what_most_cases_have(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 3)
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "T1", "1": "T2"}, "labels": {"1": "x", "2": "y"}}')
    faults = check_dataset(tmp_path)
    assert [(f.case, f.kind, f.expected, f.found) for f in faults] == [
        (id, "channel count", "2 channel(s)", "1") for id in folder.good
    ]


def ranges(root: Path, scales: list[float], offset: float = 0.0) -> list[str]:
    for number, scale in enumerate(scales):
        write_volume(Volume(mr(number) * scale + offset, AFFINE), root / f"images/{number}.nii.gz")
    return [fault.case for fault in check_dataset(root)]


def test_scales_that_several_mr_scanners_have_are_no_fault_but_one_that_nobody_has_is(tmp_path: Path) -> None:
    assert ranges(tmp_path / "two", [1, 1, 1, 500, 500]) == []
    assert ranges(tmp_path / "one", [1, 1, 1, 1, 1 / 900]) == ["4"]


def test_one_ct_without_hounsfield_units(tmp_path: Path) -> None:
    for number in range(4):
        array = mr(number) * 2 - 1000 if number else mr(number) / 900
        write_volume(Volume(array, AFFINE), tmp_path / f"img/img000{number}.nii.gz")
    (fault,) = check_dataset(tmp_path)
    assert (fault.case, fault.kind) == ("img0000", "intensity range")
    assert fault.expected == "Hounsfield units like most cases"


def test_given_label_names_are_what_counts(tmp_path: Path) -> None:
    Folder(tmp_path, 1)
    (fault,) = check_dataset(tmp_path, label_names={1: "head"})
    assert (fault.kind, fault.expected, fault.found) == ("label value", "0 and 1", "2")


def test_progress_counts_cases(tmp_path: Path) -> None:
    Folder(tmp_path, 3)
    calls: list[tuple[int, int, str]] = []
    check_dataset(tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3, "mr_001"), (2, 3, "mr_002"), (3, 3, "mr_003")]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        check_dataset(tmp_path / "gone")
    assert str(error.value) == f"{tmp_path}/gone: there is no such folder."


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize("name", ["totalseg_ct_abdomen_3mm", "totalseg_mr_abdomen_3mm", "dicom_ct_thorax_abdomen"])
def test_real_scans_are_clean(name: str) -> None:
    assert check_dataset(SHARED / name) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_a_missing_dicom_slice_is_said(tmp_path: Path) -> None:
    series = SHARED / "dicom_ct_thorax_abdomen/series"
    shutil.copytree(series, tmp_path / "scan", ignore=shutil.ignore_patterns("010.dcm"))
    (fault,) = check_dataset(tmp_path)
    assert (fault.case, fault.kind, fault.expected) == ("scan", "DICOM series", "evenly spaced, upright slices")
    assert fault.found.startswith("slices are missing or uneven")
