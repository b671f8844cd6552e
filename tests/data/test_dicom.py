import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from saccade.data.dicom import GeometryWarning
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_grid, read_volume, same_grid
from saccade.errors import InputError

REAL = Path(__file__).parents[2] / "../shared/data/dicom_ct_thorax_abdomen"
SIZE = (7, 5)  # columns, rows
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def save_slice(path: Path, position, pixels=None, *, number=1, uid="1.2.3", orientation=AXIAL, change=None) -> Path:
    """One CT slice, columns 2 mm and rows 3 mm apart; ``pixels`` as (rows, columns)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = uid, "1.2"
    data.SeriesDescription, data.Modality, data.InstanceNumber = f"series {uid}", "CT", number
    data.Columns, data.Rows = SIZE
    data.ImagePositionPatient = [round(float(value), 6) for value in position]
    data.ImageOrientationPatient = [round(float(value), 9) for value in np.ravel(orientation)]
    data.PixelSpacing, data.SliceThickness = [3, 2], 4
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    pixels = np.full(SIZE[::-1], 1024 + number) if pixels is None else pixels
    data.PixelData = np.asarray(pixels, "<u2").tobytes()
    for key, value in (change or {}).items():
        setattr(data, key, value)
    data.save_as(path, enforce_file_format=True)
    return path


def save_series(folder: Path, positions, **settings) -> None:
    """Slices in an order of names and numbers that says nothing about their position."""
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(0).permutation(len(positions))
    for name, n in enumerate(order):
        save_slice(folder / f"{name:03d}.dcm", positions[n], number=int(n), **settings)


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_slices_are_sorted_by_position_and_lie_where_they_say(tmp_path):
    pixels = np.arange(35).reshape(5, 7)
    for n, z in enumerate((9.0, 1.0, 5.0)):
        save_slice(tmp_path / f"{n}.dcm", (10, 20, z), pixels + 100 * z, number=9 - n)
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / ".hidden.dcm").write_text("nothing to see")
    volume = read_volume(tmp_path)
    assert volume.array.dtype == np.int16
    assert volume.shape == (7, 5, 3)
    # column 6, row 2 of the slice at z = 5: pixel 2 * 7 + 6 + 500 - 1024; LPS (10 + 12, 20 + 6, 5)
    assert volume.array[6, 2, 1] == 20 + 500 - 1024
    assert (volume.affine @ (6, 2, 1, 1)).tolist() == [-22, -26, 5, 1]
    assert volume.header is None
    shape, affine = read_grid(tmp_path / "1.dcm")
    assert shape == volume.shape
    assert np.array_equal(affine, volume.affine)


def test_an_oblique_series_keeps_every_voxel_in_its_place(tmp_path):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", [0.3, -0.2, 0.4]).as_matrix()
    normal = turn[:, 2]
    positions = [np.array([1.0, 2.0, 3.0]) + 2.5 * n * normal for n in range(11)]
    save_series(tmp_path, positions, orientation=turn[:, :2].T)
    volume = read_volume(tmp_path)
    assert volume.spacing_mm == pytest.approx((2, 3, 2.5))
    for n, position in enumerate(positions):
        assert np.all(volume.array[:, :, n] == n)
        lps = position + 4 * 2 * turn[:, 0] + 3 * 3 * turn[:, 1]
        assert np.abs(volume.affine @ (4, 3, n, 1) - [-lps[0], -lps[1], lps[2], 1]).max() < 1e-3


def test_each_slice_has_its_own_rescale(tmp_path):
    pixels = np.full((5, 7), 10)
    save_slice(tmp_path / "0.dcm", (0, 0, 0), pixels, change={"RescaleSlope": 2, "RescaleIntercept": -5})
    save_slice(tmp_path / "1.dcm", (0, 0, 1), pixels, change={"RescaleSlope": 3, "RescaleIntercept": 1})
    volume = read_volume(tmp_path)
    assert volume.array[0, 0].tolist() == [15, 31]
    assert volume.array.dtype == np.int16
    save_slice(tmp_path / "1.dcm", (0, 0, 1), pixels, change={"RescaleSlope": 0.25, "RescaleIntercept": 0})
    volume = read_volume(tmp_path)
    assert volume.array[0, 0].tolist() == [15, 2.5]
    assert volume.array.dtype == np.float32
    save_slice(tmp_path / "1.dcm", (0, 0, 1), np.full((5, 7), 60000))
    assert read_volume(tmp_path).array[0, 0].tolist() == [15, 60000 - 1024]


def test_missing_slices_are_said_and_interpolated(tmp_path):
    places = [z for z in range(0, 33, 3) if z not in (12, 24, 27)]
    for n, z in enumerate(places):
        save_slice(tmp_path / f"{n}.dcm", (0, 0, z), np.full((5, 7), 1024 + z * z // 2))
    with pytest.warns(GeometryWarning) as caught:
        volume = read_volume(tmp_path)
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}: slices are missing or uneven: 3.00 mm apart except from 9.00 to 15.00, 21.00 to 30.00 "
        "(mm along the slice normal). Interpolated onto an even grid of 11 slices."
    ]
    # 12 is midway between 9 (40) and 15 (112); from 21 (220) to 30 (450) the steps are 76.67
    assert volume.array[3, 2].tolist() == [0, 4, 18, 40, 76, 112, 162, 220, 297, 373, 450]
    assert volume.spacing_mm == (2, 3, 3)
    assert read_grid(tmp_path)[0] == volume.shape == (7, 5, 11)


def test_a_missing_slice_leaves_the_others_untouched_by_rounded_positions(tmp_path):
    noise = np.random.default_rng(0).integers(0, 4096, (6, 5, 7))
    for n, z in enumerate((0, 2.01, 4, 5.99, 10, 12.01)):
        save_slice(tmp_path / f"{n}.dcm", (0, 0, z), noise[n])
    with pytest.warns(GeometryWarning, match=r"except from 5.99 to 10.00 "):
        volume = read_volume(tmp_path)
    assert np.array_equal(volume.array[:, :, [0, 1, 2, 3, 5, 6]], noise.transpose(2, 1, 0) - 1024)


def test_two_slices_at_nearly_one_place_do_not_stand_in_for_a_missing_one(tmp_path):
    save_series(tmp_path, [(0, 0, z) for z in (0, 1, 1.96, 2.04, 4)])
    with pytest.warns(GeometryWarning, match=r"except from 1.96 to 2.04, 2.04 to 4.00 "):
        read_volume(tmp_path)


def test_changing_distances_are_brought_onto_the_usual_one(tmp_path):
    for n, z in enumerate((0, 2, 4, 6, 9, 12)):
        save_slice(tmp_path / f"{n}.dcm", (0, 0, z), np.full((5, 7), 1024 + 10 * z))
    with pytest.warns(GeometryWarning, match=r"2.00 mm apart except from 6.00 to 9.00, 9.00 to 12.00 "):
        volume = read_volume(tmp_path)
    assert volume.array[0, 0].tolist() == [0, 20, 40, 60, 80, 100, 120]


def test_positions_rounded_by_the_scanner_are_even(tmp_path):
    # 0.65 mm apart, written with one decimal: gaps of 0.6 and 0.7
    save_series(tmp_path, [(0, 0, round(0.65 * n + 1e-9, 1)) for n in range(31)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_volume(tmp_path)
    assert volume.spacing_mm[2] == pytest.approx(0.65, abs=1e-6)
    assert volume.array[0, 0].tolist() == list(range(31))


def _tilted(folder: Path, degrees: float, count: int = 9) -> np.ndarray:
    """Slices perpendicular to z whose first pixel moves along y: values grow by 10 per mm in y and 7 per mm in z."""
    rows = 3.0 * np.arange(5)[:, None] + np.zeros(7)
    for n in range(count):
        y, z = np.tan(np.radians(degrees)) * 4.0 * n, 4.0 * n
        save_slice(folder / f"{n}.dcm", (0, y, z), np.rint(524 + 10 * (rows + y) + 7 * z))
    return rows


@pytest.mark.parametrize("degrees", [20.0, -15.0])
def test_gantry_tilt_is_said_and_made_rectangular(tmp_path, degrees):
    _tilted(tmp_path, degrees)
    with pytest.warns(GeometryWarning) as caught:
        volume = read_volume(tmp_path)
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}: gantry tilt of {abs(degrees)} degrees. Resampled onto a rectangular grid."
    ]
    axes = volume.affine[:3, :3] / volume.spacing_mm
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-9
    # drift over 8 gaps of 4 mm, in rows of 3 mm
    rows = 5 + int(np.ceil(abs(32 * np.tan(np.radians(degrees))) / 3))
    assert volume.shape == read_grid(tmp_path)[0] == (7, rows, 9)
    inside = 0
    for index in np.ndindex(volume.shape):
        _, back, up, _ = volume.affine @ (*index, 1)
        y, shift = -back, np.tan(np.radians(degrees)) * up
        if shift <= y <= shift + 12:  # within the slice's own rows
            assert volume.array[index] == pytest.approx(10 * y + 7 * up - 500, abs=1.01)
            inside += 1
        elif not shift - 3 < y < shift + 15:
            assert volume.array[index] == volume.array.min()
    assert inside > 7 * 9 * 3


def test_a_hint_of_shear_goes_into_the_affine_untouched(tmp_path):
    _tilted(tmp_path, 0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_volume(tmp_path)
    expected = (0, -32 * np.tan(np.radians(0.05)), 32, 1)
    assert np.abs(volume.affine @ (0, 0, 8, 1) - expected).max() < 1e-3


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    path = save_slice(tmp_path / "one.dcm", (1, 2, 3))
    volume = read_volume(path)
    assert volume.shape == (7, 5, 1)
    assert volume.spacing_mm == (2, 3, 4)


def test_several_series_are_listed_and_one_file_picks_its_own(tmp_path):
    save_series(tmp_path / "a", [(0, 0, z) for z in range(3)])
    save_series(tmp_path / "b", [(0, 0, z) for z in range(5)], uid="1.2.4")
    assert error_of(tmp_path) == (
        f"{tmp_path}: one DICOM series is needed, found 2: CT 'series 1.2.3' with 3 slices ({tmp_path}/a/000.dcm); "
        f"CT 'series 1.2.4' with 5 slices ({tmp_path}/b/000.dcm). Give one of these files."
    )
    assert read_volume(tmp_path / "b" / "002.dcm").shape == (7, 5, 5)
    save_slice(tmp_path / "a" / "other", (0, 0, 9), uid="1.2.9")
    assert read_volume(tmp_path / "a" / "001.dcm").shape == (7, 5, 3)
    assert read_volume(tmp_path / "a" / "other").shape == (7, 5, 1)


def test_segmentations_and_reports_in_the_folder_are_no_series(tmp_path):
    save_series(tmp_path, [(0, 0, z) for z in range(3)])
    save_slice(tmp_path / "seg.dcm", (0, 0, 0), uid="1.2.7", change={"Modality": "SEG", "NumberOfFrames": 9})
    report = pydicom.dcmread(tmp_path / "000.dcm")
    del report.Rows, report.Columns, report.PixelData
    report.SeriesInstanceUID = "1.2.8"
    report.save_as(tmp_path / "report.dcm")
    assert read_volume(tmp_path).shape == (7, 5, 3)
    assert error_of(tmp_path / "seg.dcm").startswith(f"{tmp_path}/seg.dcm: no DICOM image in it.")


def test_folders_without_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    expected = f"{tmp_path}: no DICOM image in it. Give the folder that holds the .dcm files of one series."
    assert error_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"NumberOfFrames": 5}, "{file}: one image per file is needed, got 5 frames in one (enhanced DICOM). "
         "Convert it to NIfTI, for instance with dcm2niix."),
        ({"SamplesPerPixel": 3}, "{file}: one number per voxel is needed, got 3 (a colour image)."),
        ({"ImagePositionPatient": None}, "{file}: ImagePositionPatient must be 3 numbers, got None."),
        ({"PixelSpacing": [0, 2]}, "{file}: PixelSpacing must be above zero, got 0 and 2 mm."),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
         "{file}: ImageOrientationPatient must be two unit vectors at a right angle."),
    ],
)  # fmt: skip
def test_a_slice_that_cannot_be_placed(tmp_path, change, said):
    path = save_slice(tmp_path / "0.dcm", (0, 0, 0), change=change)
    assert error_of(tmp_path) == said.format(file=path, folder=tmp_path)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"position": (0, 0, 0)}, "two slices lie at 0.00 mm, 0.dcm and 1.dcm: several time points, echoes or copies? "
         "Give a folder with one of each."),
        ({"position": (0, 0, 4), "orientation": ((0, 1, 0), (1, 0, 0))},
         "parallel slices are needed, but 1.dcm and 0.dcm are not."),
        ({"position": (0, 0, 4), "change": {"PixelSpacing": [3, 3]}},
         "slices of one size are needed, but 1.dcm and 0.dcm differ."),
    ],
)  # fmt: skip
def test_slices_that_make_no_stack(tmp_path, second, said):
    save_slice(tmp_path / "0.dcm", (0, 0, 0))
    save_slice(tmp_path / "1.dcm", **second)
    assert error_of(tmp_path) == f"{tmp_path}: {said}"


def test_slices_shifted_at_random_or_hardly_there_make_no_stack(tmp_path):
    save_series(tmp_path / "shifted", [(x, 0, z) for x, z in ((0, 0), (5, 4), (0, 8), (5, 12), (0, 16))])
    # the line through the first slice that fits best: 5 * (4 + 12) / (16 + 64 + 144 + 256) = 1/6, and 5 - 4/6 = 4.33
    said = error_of(tmp_path / "shifted")
    assert said == f"{tmp_path}/shifted: the slices are shifted against each other in their plane, by up to 4.33 mm."
    save_series(tmp_path / "few", [(0, 0, z) for z in (0, 1, 2, 100)])
    assert error_of(tmp_path / "few") == f"{tmp_path}/few: 4 slices, most 1.00 mm apart, cannot fill 100.0 mm."


def test_damaged_files_are_named(tmp_path):
    save_series(tmp_path, [(0, 0, z) for z in range(3)])
    whole = (tmp_path / "001.dcm").read_bytes()
    (tmp_path / "001.dcm").write_bytes(whole[:-30])
    expected = f"{tmp_path}/001.dcm: its pixels cannot be read; the file is truncated or damaged."
    assert error_of(tmp_path) == expected
    for content in (b"", b"this is no DICOM file" * 20, whole[:100], whole[:300]):
        (tmp_path / "001.dcm").write_bytes(content)
        assert error_of(tmp_path).startswith(f"{tmp_path}/001.dcm: cannot be read as DICOM (")


def test_a_number_that_is_none_is_named(tmp_path):
    path = save_slice(tmp_path / "0.dcm", (0, 0, 0))
    whole = path.read_bytes()
    for old, new, said in (
        (b"DS\x04\x004.0 ", b"DS\x04\x00x.0 ", "SliceThickness must be a number, got x.0."),
        (b"DS\x08\x003.0\\2.0 ", b"DS\x08\x003.0\\y.0 ", "PixelSpacing must be 2 numbers, got ['3.0', 'y.0']."),
        (
            b"\x20\x00\x32\x00DS",
            b"\x20\x00\x32\x00DF",
            "cannot be read as DICOM (Unknown Value Representation 'DF' in tag (0020,0032)).",
        ),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's own word on it
            assert error_of(tmp_path) == f"{path}: {said}"


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared DICOM series is not here")
def test_a_real_compressed_series_lands_on_the_grid_of_its_label():
    image, label = read_volume(REAL / "series"), read_volume(REAL / "label.nii.gz")
    assert image.array.dtype == np.int16
    assert same_grid(to_canonical(image), to_canonical(label))
    hounsfield, mask = to_canonical(image).array, to_canonical(label).array
    # labels 5 and 32: a liver with contrast and a vertebra; flipping an axis puts the liver into lung and air
    assert 70 < hounsfield[mask == 5].mean() < 120
    assert 150 < hounsfield[mask == 32].mean() < 400
    assert hounsfield[::-1][mask == 5].std() > 5 * hounsfield[mask == 5].std()
    moved = Volume(image.array, image.affine @ np.diag([1, 1, -1, 1]))
    assert not same_grid(moved, image)
