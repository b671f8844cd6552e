import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from saccade.data.layouts import Dataset, find_dataset, load_case, scan_dataset
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError

SHAPE = (5, 7, 11)
AFFINE = np.array([[-0.7, 0, 0, 20.0], [0, 1.3, 0, -30.0], [0, 0, 2.9, 5.0], [0, 0, 0, 1]])
SHARED = Path(__file__).parents[2] / "../shared/data"


def image(path: Path, seed: int = 0, shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE) -> Path:
    array = np.random.default_rng(seed).integers(-900, 900, shape).astype(np.int16)
    write_volume(Volume(array, affine), path)
    return path


def label(path: Path, values: tuple[int, ...] = (0, 1, 2), affine: np.ndarray = AFFINE) -> Path:
    array = np.resize(np.array(values, np.uint8), SHAPE)
    write_volume(Volume(array, affine), path)
    return path


def ids(dataset: Dataset) -> list[str]:
    return [case.id for case in dataset.cases]


# --- BTCV ---


@pytest.mark.parametrize("base", ["", "Training", "RawData/Training"])
@pytest.mark.parametrize("digits", [3, 4])
def test_btcv(tmp_path: Path, base: str, digits: int) -> None:
    for number in (1, 2, 35):
        image(tmp_path / base / "img" / f"img{number:0{digits}}.nii.gz", number)
        label(tmp_path / base / "label" / f"label{number:04}.nii.gz")
    dataset = find_dataset(tmp_path)
    assert dataset.layout == "btcv"
    assert ids(dataset) == [f"img{number:0{digits}}" for number in (1, 2, 35)]
    case = dataset.case(f"img{35:0{digits}}")
    assert case.label == tmp_path / base / "label" / "label0035.nii.gz"
    assert case.split is None
    assert (dataset.label_names[1], dataset.label_names[13], len(dataset.label_names)) == (
        "spleen",
        "left adrenal gland",
        13,
    )
    assert dataset.channel_names == ("image",)


def test_btcv_testing_images_have_no_labels_and_that_is_no_fault(tmp_path: Path) -> None:
    image(tmp_path / "RawData/Training/img/img0001.nii.gz", 1)
    label(tmp_path / "RawData/Training/label/label0001.nii.gz")
    image(tmp_path / "RawData/Testing/img/img0061.nii.gz", 61)
    (tmp_path / "RawData/Testing/label").mkdir()
    dataset = scan_dataset(tmp_path)
    assert [(case.id, case.split, case.label is None) for case in dataset.cases] == [
        ("img0001", None, False),
        ("img0061", "test", True),
    ]
    assert dataset.faults == ()
    assert [case.id for case in dataset.labelled()] == ["img0001"]


def test_btcv_takes_the_names_beside_it_first(tmp_path: Path) -> None:
    image(tmp_path / "img/img0001.nii.gz")
    label(tmp_path / "label/label0001.nii.gz")
    (tmp_path / "labels.json").write_text('{"tumour": 2, "background": 0, "liver": 1}')
    assert find_dataset(tmp_path).label_names == {1: "liver", 2: "tumour"}
    assert find_dataset(tmp_path, {0: "nothing", 7: "heart"}).label_names == {7: "heart"}


# --- Decathlon and nnU-Net ---


def decathlon(root: Path, content: dict) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))


def test_decathlon(tmp_path: Path) -> None:
    decathlon(
        tmp_path,
        {
            "modality": {"0": "FLAIR", "1": "T1w"},
            "labels": {"0": "background", "2": "tumour", "1": "oedema"},
            "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
            "test": ["./imagesTs/BRATS_485.nii.gz"],
        },
    )
    image(tmp_path / "imagesTr/BRATS_001.nii.gz", shape=(*SHAPE, 2))
    label(tmp_path / "labelsTr/BRATS_001.nii.gz")
    image(tmp_path / "imagesTs/BRATS_485.nii.gz", 1, shape=(*SHAPE, 2))
    for junk in ("imagesTr/._BRATS_001.nii.gz", "labelsTr/._BRATS_001.nii.gz", "._dataset.json"):
        (tmp_path / junk).write_bytes(b"\0\5\26\7")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, ids(dataset)) == ("msd", ["BRATS_001", "BRATS_485"])
    assert [case.split for case in dataset.cases] == [None, "test"]
    assert dataset.label_names == {1: "oedema", 2: "tumour"}
    assert (dataset.channel_names, dataset.modality) == (("FLAIR", "T1w"), "MR")
    scan, truth = load_case(dataset.cases[0])
    assert scan.array.shape == (*SHAPE, 2)
    assert truth is not None
    assert find_dataset(tmp_path / "dataset.json").layout == "msd"


@pytest.mark.parametrize(
    "labels", [{"background": 0, "kidney": 1, "cyst": 2}, {"0": "background", "1": "kidney", "2": "cyst"}]
)
def test_nnunet_raw(tmp_path: Path, labels: dict) -> None:
    decathlon(tmp_path, {"channel_names": {"0": "CT", "1": "PET"}, "labels": labels, "file_ending": ".nrrd"})
    for channel in (0, 1):
        image(tmp_path / f"imagesTr/case_7_000{channel}.nrrd", channel)
        image(tmp_path / f"imagesTs/case_8_000{channel}.nrrd", channel)
    label(tmp_path / "labelsTr/case_7.nrrd")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, ids(dataset)) == ("nnunet", ["case_7", "case_8"])
    assert [path.name for path in dataset.cases[0].images] == ["case_7_0000.nrrd", "case_7_0001.nrrd"]
    assert (dataset.label_names, dataset.channel_names, dataset.modality) == (
        {1: "kidney", 2: "cyst"},
        ("CT", "PET"),
        None,
    )
    scan, _ = load_case(dataset.cases[0])
    for channel in (0, 1):
        np.testing.assert_array_equal(
            scan.array[..., channel], np.random.default_rng(channel).integers(-900, 900, SHAPE).astype(np.int16)
        )


def test_nnunet_without_its_json_is_told_from_the_names(tmp_path: Path) -> None:
    image(tmp_path / "imagesTr/case_0000.nii.gz")
    label(tmp_path / "labelsTr/case.nii.gz")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, ids(dataset), len(dataset.labelled())) == ("nnunet", ["case"], 1)


def test_nnunet_regions_are_named_by_their_class_order(tmp_path: Path) -> None:
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    content = {"channel_names": {"0": "T1"}, "labels": regions}
    image(tmp_path / "imagesTr/a_0000.nii.gz")
    label(tmp_path / "labelsTr/a.nii.gz")
    decathlon(tmp_path, {**content, "regions_class_order": [1, 2, 3]})
    assert find_dataset(tmp_path).label_names == {1: "whole", 2: "core", 3: "enhancing"}
    decathlon(tmp_path, content)
    with pytest.raises(InputError, match="regions must come with a regions_class_order of the same length"):
        find_dataset(tmp_path)


# --- NIH Pancreas-CT ---


def dicom_series(folder: Path, array: np.ndarray, spacing: tuple[float, float, float] = (0.7, 1.3, 2.9)) -> None:
    """Axial CT slices: i along rows to the left, j down columns to the back, k up; shape (i, j, k)."""
    folder.mkdir(parents=True)
    series = generate_uid()
    for k in range(array.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_ = pydicom.Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.Modality, slice_.InstanceNumber = series, "CT", k + 1
        slice_.Rows, slice_.Columns = array.shape[1], array.shape[0]
        slice_.PixelSpacing, slice_.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.ImagePositionPatient = [-100, -120, k * spacing[2]]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 1
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.PixelData = np.ascontiguousarray(array[:, :, k].T.astype("<i2")).tobytes()
        slice_.save_as(folder / f"{k:03}.dcm", enforce_file_format=True)


DICOM_AFFINE = np.array([[-0.7, 0, 0, 100.0], [0, -1.3, 0, 120.0], [0, 0, 2.9, 0], [0, 0, 0, 1]])


def marked() -> tuple[np.ndarray, np.ndarray]:
    """A scan whose bright voxels are exactly the organ: whatever the files say, image and label must agree on it."""
    organ = np.zeros(SHAPE, np.uint8)
    organ[1:3, 1:4, 2:9] = 1
    noise = np.random.default_rng(3).integers(-900, 0, SHAPE).astype(np.int16)
    return np.where(organ, 500, noise).astype(np.int16), organ


def flipped_y(affine: np.ndarray) -> np.ndarray:
    """The affine of the same grid, stored with its second axis reversed."""
    other = affine.copy()
    other[:3, 3] += affine[:3, 1] * (SHAPE[1] - 1)
    other[:3, 1] *= -1
    return other


@pytest.mark.parametrize(
    ("stored", "affine"),
    [
        ("same", DICOM_AFFINE),
        ("flipped", flipped_y(DICOM_AFFINE)),  # a label made on dcm2niix's output
        ("flipped", np.eye(4)),  # a header that says nothing
        ("flipped", np.diag([-0.7, 1.3, 2.9, 1])),  # as released: direction right, origin not
    ],
)
def test_pancreas_ct_dicom_agrees_with_its_label(tmp_path: Path, stored: str, affine: np.ndarray) -> None:
    scan, organ = marked()
    dicom_series(tmp_path / "Pancreas-CT/PANCREAS_0007/1.2.3/4.5.6", scan)
    array = organ if stored == "same" else organ[:, ::-1]
    write_volume(Volume(np.ascontiguousarray(array), affine), tmp_path / "TCIA_pancreas_labels/label0007.nii.gz")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, ids(dataset), dataset.modality) == ("pancreas-ct", ["PANCREAS_0007"], "CT")
    assert dataset.label_names == {1: "pancreas"}
    found, truth = load_case(dataset.cases[0])
    assert truth is not None
    np.testing.assert_allclose(truth.affine, found.affine)
    np.testing.assert_array_equal(found.array == 500, truth.array == 1)


@pytest.mark.parametrize("opposed", [False, True])
def test_pancreas_ct_nifti_is_flipped_only_where_the_affines_oppose(tmp_path: Path, opposed: bool) -> None:
    scan, organ = marked()
    write_volume(Volume(scan, AFFINE), tmp_path / "images/PANCREAS_0001.nii.gz")
    affine = np.diag([-0.7, -1.3, 2.9, 1.0]) if opposed else AFFINE
    array = np.ascontiguousarray(organ[:, ::-1]) if opposed else organ
    write_volume(Volume(array, affine), tmp_path / "labels/label0001.nii.gz")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, dataset.cases[0].flip_label_y) == ("pancreas-ct", opposed)
    found, truth = load_case(dataset.cases[0])
    assert truth is not None
    np.testing.assert_array_equal(found.array == 500, truth.array == 1)


# --- pairs, lists, folders of scans ---


@pytest.mark.parametrize("form", ["{}", "{}_label", "label_{}", "{}_seg", "seg_{}"])
def test_plain_pairs(tmp_path: Path, form: str) -> None:
    for name in ("a_01", "b_02"):
        image(tmp_path / "images" / f"{name}.nii.gz", len(name))
        label(tmp_path / "labels" / f"{form.format(name)}.nii.gz")
    dataset = find_dataset(tmp_path)
    assert (dataset.layout, ids(dataset), len(dataset.labelled())) == ("pairs", ["a_01", "b_02"], 2)
    assert dataset.label_names == {}


def test_csv_list_with_splits_and_channels(tmp_path: Path) -> None:
    for name in ("s1/ct", "s1/pet", "s2/ct", "s2/pet", "s3/ct", "s3/pet"):
        image(tmp_path / f"{name}.nii.gz", sum(map(ord, name)))
    label(tmp_path / "s1/organs.nii.gz")
    label(tmp_path / "s2/organs.nii.gz")
    (tmp_path / "cases.csv").write_text(
        "image, image2, label, split, age\n"
        "s1/ct.nii.gz, s1/pet.nii.gz, s1/organs.nii.gz, Training, 50\n"
        "s2/ct.nii.gz, s2/pet.nii.gz, s2/organs.nii.gz, val, 51\n"
        "s3/ct.nii.gz, s3/pet.nii.gz, , test, 52\n"
    )
    for root in (tmp_path, tmp_path / "cases.csv"):
        dataset = find_dataset(root)
        assert (dataset.layout, ids(dataset)) == ("list", ["s1_ct", "s2_ct", "s3_ct"])
        assert [case.split for case in dataset.cases] == ["train", "validation", "test"]
        assert dataset.channel_names == ("channel 1", "channel 2")
        assert dataset.cases[0].images == (tmp_path / "s1/ct.nii.gz", tmp_path / "s1/pet.nii.gz")


def test_json_list_in_the_form_of_a_monai_datalist(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / f"{name}.nii.gz", ord(name))
        label(tmp_path / f"{name}_truth.nii.gz")
    content = {
        "training": [{"image": "a.nii.gz", "label": "a_truth.nii.gz", "fold": 0}],
        "validation": [{"image": ["b.nii.gz"], "label": "b_truth.nii.gz"}],
        "testing": ["c.nii.gz"],
        "labels": {"1": "liver"},
        "modality": {"0": "CT"},
    }
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    dataset = find_dataset(tmp_path)
    assert [(case.id, case.split) for case in dataset.cases] == [("a", "train"), ("b", "validation"), ("c", "test")]
    assert (dataset.label_names, dataset.modality, dataset.faults) == ({1: "liver"}, "CT", ())


def test_a_list_says_which_of_its_files_is_missing(tmp_path: Path) -> None:
    image(tmp_path / "a.nii.gz")
    (tmp_path / "cases.csv").write_text("id;image;label\none;a.nii.gz;a_seg.nii.gz\n")
    with pytest.raises(InputError) as error:
        find_dataset(tmp_path)
    assert str(error.value) == (
        f"case one: {tmp_path}/a_seg.nii.gz: missing file: expected the file that cases.csv names, found none. "
        f"See all faults with: saccade data check {tmp_path}"
    )


def test_a_folder_of_scans(tmp_path: Path) -> None:
    image(tmp_path / "a.nii.gz", 1)
    image(tmp_path / "b.mha", 2)
    label(tmp_path / "b_seg.nii.gz")
    dicom_series(tmp_path / "c", marked()[0])
    dataset = find_dataset(tmp_path)
    assert dataset.layout == "images"
    assert [(case.id, case.label is not None) for case in dataset.cases] == [("a", False), ("b", True), ("c", False)]
    assert find_dataset(tmp_path / "c").cases[0].id == "c"


@pytest.mark.parametrize("name", ["nothing", "text", "missing"])
def test_no_layout(tmp_path: Path, name: str) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/readme.txt").write_text("hello")
    with pytest.raises(InputError) as error:
        find_dataset(tmp_path / name)
    supported = (
        "img/ with label/ (BTCV), imagesTr/ with labelsTr/ (Decathlon, nnU-Net), PANCREAS_00NN with label00NN.nii.gz "
        "(Pancreas-CT), images/ with labels/, a CSV or JSON list, or a folder of scans"
    )
    got = {"nothing": "an empty folder", "text": "none of these"}
    expected = f"must hold scans as {supported}; got {got.get(name)}." if name in got else "there is no such folder."
    assert str(error.value) == f"{tmp_path / name}: {expected}"


def test_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "img/img001.nii.gz", 1)
    image(tmp_path / "img/img0001.nii.gz", 2)
    label(tmp_path / "label/label0001.nii.gz")
    with pytest.raises(InputError, match=r"img001.nii.gz: duplicate case: expected one file for it, img0001.nii.gz"):
        find_dataset(tmp_path)


def test_unknown_case(tmp_path: Path) -> None:
    image(tmp_path / "a.nii.gz")
    with pytest.raises(InputError) as error:
        find_dataset(tmp_path).case("z")
    assert str(error.value) == f"{tmp_path}: must hold case 'z', got 1 other case(s)."


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_real_hippocampi_and_dicom_series() -> None:
    dataset = find_dataset(SHARED / "hippocampus")
    assert (dataset.layout, len(dataset.labelled())) == ("pairs", 217)
    assert dataset.label_names == {1: "anterior hippocampus", 2: "posterior hippocampus"}
    series = find_dataset(SHARED / "dicom_ct_thorax_abdomen")
    scan, truth = load_case(series.case("series"))
    assert truth is not None
    assert (scan.shape, int((truth.array > 0).sum())) == ((512, 512, 20), 739_420)
    # contrast-filled aorta, liver, spinal cord: only a label that lies right has these Hounsfield units
    medians = {name: np.median(scan.array[truth.array == value]) for value, name in series.label_names.items()}
    assert 80 < medians["liver"] < 110
    assert 130 < medians["aorta"] < 180
    assert 0 < medians["spinal_cord"] < 50
    assert nib.aff2axcodes(truth.affine) == nib.aff2axcodes(scan.affine)
