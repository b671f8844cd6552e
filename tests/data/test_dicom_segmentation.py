"""Label maps as DICOM Segmentation: read back with highdicom and pydicom, never with the code under test."""

import json
import warnings
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from saccade.data import dicom_segmentation
from saccade.data.dicom_segmentation import is_dicom_series, organ_code, write_dicom_segmentation
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError

REAL = Path(__file__).parents[2] / "../shared/data/dicom_ct_thorax_abdomen"
SIZE = (7, 5)  # columns, rows
NAMES = {2: "liver", 5: "right kidney", 9: "Größe\\unklar"}
ANONYMISED = ("PatientID", "PatientName", "StudyDate", "StudyInstanceUID", "FrameOfReferenceUID")
STRAIGHT, TURN = np.eye(3), nib.eulerangles.euler2mat(0.3, -0.2, 0.4)


def save_series(folder: Path, positions, *, turn=STRAIGHT, bare: bool = False) -> Path:
    """CT slices, pixels 2 mm by 3 mm, in an order of names that says nothing of their position."""
    folder.mkdir()
    series, study, frame = (generate_uid() for _ in range(3))
    for name, n in enumerate(np.random.default_rng(0).permutation(len(positions))):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(folder), {}, file_meta=meta, preamble=bytes(128))
        data.SpecificCharacterSet = "ISO_IR 100"
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.Modality = series, "CT"
        if not bare:
            data.StudyInstanceUID, data.FrameOfReferenceUID = study, frame
            data.PatientName, data.PatientID = "Müller", "17"
            data.StudyDate = "20200229"
        data.Columns, data.Rows = SIZE
        data.ImagePositionPatient = [round(float(x), 6) for x in positions[n]]
        data.ImageOrientationPatient = [round(float(x), 9) for x in turn[:, :2].T.ravel()]
        data.PixelSpacing, data.SliceThickness = [3, 2], 4
        data.SpacingBetweenSlices = 1  # which is wrong, as it is in some files
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelData = np.full(SIZE[::-1], n, "<i2").tobytes()
        data.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return folder


def along(turn, steps_mm) -> list[np.ndarray]:
    return [np.array([1.0, 2.0, 3.0]) + step * turn[:, 2] for step in steps_mm]


def labels_on(series: Path, seed: int = 0) -> Volume:
    """Labels at random on the grid of a series; one of its planes holds nothing."""
    with warnings.catch_warnings(action="ignore"):
        scan = read_volume(series)
    array = np.random.default_rng(seed).choice([0, 0, *NAMES], scan.shape).astype(np.uint8)
    array[:, :, 1] = 0
    return Volume(array, scan.affine)


def write(labels: Volume, series: Path, path: Path, names=NAMES) -> Path:
    write_dicom_segmentation(labels, names, series, path, algorithm="attention-unet", serial="0123abcd")
    return path


def read_back(path: Path, like: Volume) -> np.ndarray:
    """Label values by world position: each frame put where it says that it lies, values from the segments' text."""
    file = pydicom.dcmread(path)
    value_of = {s.SegmentNumber: int(s.SegmentDescription.removeprefix("label value ")) for s in file.SegmentSequence}
    shared, pixels = file.SharedFunctionalGroupsSequence[0], file.pixel_array.reshape(-1, file.Rows, file.Columns)
    orientation = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = np.zeros(like.shape, np.uint8)
    for frame, group in zip(pixels, file.PerFrameFunctionalGroupsSequence, strict=True):
        rows, columns = np.nonzero(frame)
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        lps = corner + columns[:, None] * column_mm * orientation[0] + rows[:, None] * row_mm * orientation[1]
        world = np.column_stack([lps * (-1, -1, 1), np.ones(len(lps))])
        index = world @ np.linalg.inv(like.affine).T
        assert np.abs(index - np.rint(index)).max(initial=0) < 1e-3
        found[tuple(np.rint(index[:, :3]).astype(int).T)] = value_of[
            group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        ]
    return found


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("turn", [STRAIGHT, TURN], ids=["axial", "oblique"])
def test_every_voxel_comes_back(tmp_path, turn, bare) -> None:
    series = save_series(tmp_path / "s", along(turn, [0, 2.5, 5, 7.5]), turn=turn, bare=bare)
    labels = labels_on(series)
    path = write(labels, series, tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_back(path, labels), labels.array)
    # and as highdicom itself puts the frames together: segments 1, 2, 3 by plane, row, column in LPS
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    plane, row, column = np.indices(volume.array.shape).reshape(3, -1)
    world = np.diag([-1, -1, 1, 1]) @ volume.affine @ [plane, row, column, np.ones_like(plane)]
    index = (np.linalg.inv(labels.affine) @ world)[:3]
    assert np.abs(index - np.rint(index)).max() < 1e-3
    i, j, k = np.rint(index).astype(int)
    np.testing.assert_array_equal(np.array([0, *NAMES])[volume.array.ravel()], labels.array[i, j, k])
    assert volume.array.size == labels.array.size


def test_what_the_file_says_of_itself(tmp_path) -> None:
    series = save_series(tmp_path / "s", along(STRAIGHT, [0, 2, 4]))
    labels = labels_on(series)
    with warnings.catch_warnings(action="error"):
        file = pydicom.dcmread(write(labels, series, tmp_path / "seg.dcm"))
    source = pydicom.dcmread(series / "0.dcm")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate"):
        assert file[keyword].value == source[keyword].value
    assert (file.Modality, file.SegmentationType, file.SeriesInstanceUID != source.SeriesInstanceUID) == (
        "SEG", "BINARY", True,
    )  # fmt: skip
    assert (file.DeviceSerialNumber, file.ManufacturerModelName) == ("0123abcd", "attention-unet")
    referred = {one.ReferencedSOPInstanceUID for one in file.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}
    liver, kidney, other = file.SegmentSequence
    assert [s.SegmentLabel for s in file.SegmentSequence] == ["liver", "right kidney", "Größe/unklar"]
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    side = kind.SegmentedPropertyTypeModifierCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert (side.CodeValue, side.CodeMeaning) == ("24028007", "Right")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in liver.SegmentedPropertyTypeCodeSequence[0]
    assert other.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99SACCADE"
    assert liver.SegmentAlgorithmType == "AUTOMATIC"
    # plane 1 holds nothing, and no frame is kept of it
    places = {float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in file.PerFrameFunctionalGroupsSequence}
    assert places == {3.0, 7.0}


@pytest.mark.parametrize("how", ["missing", "tilted"])
def test_a_resampled_series_has_planes_of_its_own(tmp_path, how) -> None:
    shear = np.array([0, 0.4, 1.0]) if how == "tilted" else np.array([0, 0, 1.0])
    series = save_series(tmp_path / "s", [2.0 * n * shear for n in (0, 1, 2, 3, 5 if how == "missing" else 4)])
    labels = labels_on(series)
    assert labels.shape != (*SIZE, 5)
    np.testing.assert_array_equal(read_back(write(labels, series, tmp_path / "seg.dcm"), labels), labels.array)


def test_nothing_found_is_a_small_file_and_no_remark(tmp_path, capfd) -> None:
    series = save_series(tmp_path / "s", along(STRAIGHT, [0, 2, 4]))
    labels = labels_on(series)
    path = write(labels.like(np.zeros_like(labels.array)), series, tmp_path / "seg.dcm")
    file = pydicom.dcmread(path)
    assert not file.pixel_array.any()
    assert len(file.SegmentSequence) == file.NumberOfFrames == 3
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_written(tmp_path) -> None:
    series = save_series(tmp_path / "s", along(STRAIGHT, [0, 2, 4]))
    labels = labels_on(series)
    with pytest.raises(InputError) as error:
        write(Volume(labels.array[:, :, :2], labels.affine), series, tmp_path / "seg.dcm")
    assert str(error.value) == f"{series}: the label map must lie on the grid of the series, (7, 5, 3)."
    with pytest.raises(InputError) as error:
        write(labels, series, tmp_path / "seg.dcm", {2: "liver", 5: "right kidney"})
    assert str(error.value) == f"{series}: every label must have a name to be written as DICOM, 9 has none."
    assert not (tmp_path / "seg.dcm").exists()


def test_which_scans_are_dicom(tmp_path) -> None:
    series = save_series(tmp_path / "s", along(STRAIGHT, [0, 2]))
    (tmp_path / "a.nii.gz").write_bytes(bytes(200))
    assert is_dicom_series((series,))
    assert is_dicom_series((series / "0.dcm",))
    assert not is_dicom_series((tmp_path / "a.nii.gz",))
    assert not is_dicom_series((series, series))


def test_codes_are_those_of_the_standard() -> None:
    table = json.loads(Path(dicom_segmentation.__file__).with_name("organ_codes.json").read_text("utf-8"))
    for value, meaning in table.values():
        assert getattr(codes.SCT, "".join(word.title() for word in meaning.split())).value == value
    assert organ_code("left_adrenal gland")[2].meaning == "Left"
    assert organ_code("kidney")[2] is None
    assert organ_code("a")[1] == organ_code("a")[1] != organ_code("b")[1]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real series")
def test_a_real_series(tmp_path) -> None:
    truth = nib.load(REAL / "label.nii.gz")
    names = {int(value): name for value, name in json.loads((REAL / "labels.json").read_text("utf-8")).items()}
    scan = read_volume(REAL / "series")
    to_scan = nib.orientations.ornt_transform(nib.io_orientation(truth.affine), nib.io_orientation(scan.affine))
    array = nib.orientations.apply_orientation(np.asarray(truth.dataobj).astype(np.uint8), to_scan)
    labels = Volume(np.ascontiguousarray(array), scan.affine)
    path = write(labels, REAL / "series", tmp_path / "seg.dcm", names)
    np.testing.assert_array_equal(read_back(path, labels), labels.array)
