"""Readers and `saccade data check` given files in which anything may be damaged: sound volumes or one clear line."""

import gzip
import shutil
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from damage import (
    BYTE_EDITS,
    DICOM_EDITS,
    ITK,
    ITK_LINES,
    NIFTI,
    VOXELS,
    dicom_bytes,
    field_edits,
    itk_bytes,
    nifti_bytes,
    packed,
    with_bytes,
    with_fields,
    with_lines,
)
from fuzzing import bounded, command, fuzz, written
from hypothesis import given
from hypothesis import strategies as st
from tiny import blob, save

from saccade.data.dicom import GeometryWarning
from saccade.data.size import DEFLATE
from saccade.data.volume import Volume, read_grid, read_volume
from saccade.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def _no_hang() -> Iterator[None]:
    with bounded(120):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def examine(path: Path, most_bytes: float | None = None) -> Volume | None:
    """Read a file or folder; None if it is refused, and then in one line that says where and what."""
    with written() as said, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", GeometryWarning)
        volume, grid = _or_refused(read_volume, path), _or_refused(read_grid, path)
    assert said == []
    if volume is None:
        return None
    assert volume.array.ndim in (3, 4)
    assert volume.array.dtype.kind in "iuf"
    assert volume.array.dtype.isnative
    assert min(volume.array.shape) > 0
    assert np.isfinite(volume.affine).all()
    assert abs(np.linalg.det(volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0))) > 0
    if most_bytes is not None:
        assert volume.array.nbytes <= most_bytes
    assert grid is not None
    assert grid[0] == volume.shape
    assert np.array_equal(grid[1], volume.affine)
    return volume


def _or_refused(read, path: Path):
    try:
        return read(path)
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) == 1
    assert len(said) < len(str(path)) + 500
    assert said.startswith(str(path))
    return None


# readers --------------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(NIFTI),
    field_edits(nib.Nifti1Header.template_dtype) | field_edits(nib.Nifti2Header.template_dtype) | st.just([]),
    BYTE_EDITS,
    BYTE_EDITS,
)
@fuzz(120)
def test_nifti(folder, kind, fields, edits, after) -> None:
    content = with_bytes(with_fields(nifti_bytes(kind), fields), edits, 600)
    path = folder / ("scan.nii" if kind == "plain" else "scan.nii.gz")
    path.write_bytes(content if kind == "plain" else with_bytes(packed(content), after))
    # what is on the disk, unpacked, and a rescale to float64
    volume = examine(path, 8 * (DEFLATE * path.stat().st_size))
    if not fields and not edits and (kind == "plain" or not after):
        assert volume is not None
        expected = VOXELS * 2.5 - 7 if kind == "scaled" else VOXELS
        np.testing.assert_array_equal(volume.array, expected)


@given(DICOM_EDITS, BYTE_EDITS, st.booleans())
@fuzz(60)
def test_dicom(folder, edits, changes, everywhere) -> None:
    path = write_series(folder / "series", edits, changes, everywhere)
    volume = examine(path)
    if not edits and not changes:
        assert volume is not None
        np.testing.assert_array_equal(volume.array, VOXELS - 1024)


def write_series(path: Path, edits, changes=(), everywhere: bool = False) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for z in range(3):
        damaged = z == 1 or everywhere
        content = dicom_bytes(z, edits if damaged else [])
        (path / f"{z}.dcm").write_bytes(with_bytes(content, changes) if damaged else content)
    return path


@given(st.sampled_from(ITK), ITK_LINES, BYTE_EDITS, BYTE_EDITS)
@fuzz(120)
def test_nrrd_and_metaimage(folder, kind, lines, edits, after) -> None:
    content = with_bytes(with_bytes(with_lines(itk_bytes(kind, folder), lines), edits, 400), after)
    path = folder / f"scan{Path(kind).suffix}"
    path.write_bytes(content)
    volume = examine(path, DEFLATE * path.stat().st_size)
    if content == itk_bytes(kind, folder):
        assert volume is not None
        np.testing.assert_array_equal(volume.array, VOXELS)


# commands -------------------------------------------------------------------------------------------------------------


SCANS = st.tuples(st.just("nifti"), st.sampled_from(NIFTI), field_edits(nib.Nifti1Header.template_dtype), BYTE_EDITS)
SERIES = st.tuples(st.just("dicom"), st.just(""), DICOM_EDITS, BYTE_EDITS)
FOURTH = [(40, b"\x04\0\x05\0\x07\0\x03\0\x01\0")]


def write_scan(root: Path, scan) -> Path:
    what, kind, first, edits = scan
    if what == "dicom":
        return write_series(root / "scan", first, edits, everywhere=True)
    root.mkdir(parents=True, exist_ok=True)
    path = root / "scan.nii.gz"
    path.write_bytes(packed(with_bytes(with_fields(nifti_bytes(kind), first), edits, 600)))
    return path


@given(SCANS | SERIES, SCANS)
@fuzz(20)
def test_data_check(folder, image, label) -> None:
    root = folder / "data"
    shutil.rmtree(root, ignore_errors=True)
    good, truth = save(root / "good.nii.gz", blob(0)[0]), save(root / "truth.nii.gz", blob(0)[1])
    rows = [(good, truth), (write_scan(root / "a", image), write_scan(root / "b", label))]
    lines = [f"{a.relative_to(root)},{b.relative_to(root)}" for a, b in rows]
    (root / "cases.csv").write_text("\n".join(["image,label", *lines, ""]))
    for more in ([], ["--json", "--fix"]):
        code, err = command("data", "check", root, *more)
        assert code in (0, 2)
        assert err == []  # faults are the answer, not an error


@given(SCANS | SERIES)
@fuzz(8)
def test_predict(folder, trained, predictor, scan) -> None:
    root = folder / "scans"
    shutil.rmtree(root, ignore_errors=True)
    path = write_scan(root, scan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.runs.load", lambda *_, **__: predictor)
        code, err = command("predict", trained, path, "--out", root / "out", "--attention")
    errors = [line for line in err if line.startswith("saccade: ")]
    assert (code, len(errors)) in ((0, 0), (2, 1))
    if code:
        assert errors[0].startswith(f"saccade: {path}")
        assert not (root / "out").exists()
    else:
        assert read_grid(root / "out/scan.nii.gz")[0] == read_grid(path)[0]


@pytest.fixture(scope="module")
def predictor(trained: Path):
    import saccade

    return saccade.load(trained)


# found ----------------------------------------------------------------------------------------------------------------


def huge_nifti(path: Path) -> None:
    dims = np.array([3, 10000, 10000, 10000], "<i2").tobytes()
    content = with_fields(nifti_bytes("plain"), [(40, dims)])
    path.write_bytes(packed(content) if path.suffix == ".gz" else content)


def huge_itk(path: Path) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as place:
        content = itk_bytes(f"raw{path.suffix}", Path(place))
    path.write_bytes(content.replace(b"5 7 3\n", b"10000 10000 10000\n"))
    assert path.read_bytes() != content


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.mha", "scan.nrrd"])
def test_a_million_million_voxels_are_refused_before_there_is_room_for_them(tmp_path, name) -> None:
    path = tmp_path / name
    (huge_nifti if ".nii" in name else huge_itk)(path)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            read_volume(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    promised = 2 * 10**12
    assert str(error.value) == f"{path}: the file is truncated (its header promises {promised} bytes of voxels)."
    assert peak < 10_000_000


def test_a_slice_that_promises_more_pixels_than_its_file_holds(tmp_path) -> None:
    many = b"\xff\xff"
    path = write_series(tmp_path / "s", [("0028 0010", "", many), ("0028 0011", "", many)], everywhere=True)
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert str(error.value) == f"{path}/0.dcm: the file is truncated (its header promises 8589672450 bytes of voxels)."


def test_an_element_that_is_longer_than_its_file(tmp_path, monkeypatch) -> None:
    """GDCM would make room for 2.7 GB a slice and fill it with zeros: 18 seconds until it said no."""
    path = write_series(tmp_path / "s", [])
    whole = (path / "1.dcm").read_bytes()
    monkeypatch.setattr("SimpleITK.ReadImage", lambda *_, **__: pytest.fail("this goes to GDCM"))
    for element in (b"\xe0\x7f\x10\x00OW\0\0", b"\x28\x00\x52\x10DS"):
        place = whole.index(element) + len(element)
        for length in (b"\0\0\0\xa0", b"\xff\xff\xff\x7f") if element[4:5] == b"O" else (b"\xf0\xff",):
            (path / "1.dcm").write_bytes(whole[:place] + length + whole[place + len(length) :])
            with pytest.raises(InputError) as error:
                read_volume(path)
            said = f"{path}/1.dcm: its pixels cannot be read; the file is truncated or damaged."
            assert str(error.value) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NDims = 1e308", "NDims must be one whole number, at most 4, got 3 and 1e308."),
        ("NDims = 2147483647", "NDims must be one whole number, at most 4, got 3 and 2147483647."),
        ("ElementNumberOfChannels = -1", "ElementNumberOfChannels must be one whole number, at most 10000, got -1."),
    ],
)
def test_numbers_that_would_end_the_process_never_reach_itk(tmp_path, line, said) -> None:
    content = itk_bytes("raw.mha", tmp_path)
    (tmp_path / "scan.mha").write_bytes(content.replace(b"NDims = 3\n", b"NDims = 3\n" + line.encode() + b"\n"))
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "scan.mha")
    assert str(error.value) == f"{tmp_path}/scan.mha: {said}"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("-", "the voxels must be in a file, got '-'."),
        ("/dev/zero", "the voxels must be in a file, got '/dev/zero'."),
        ("gone%d.raw 0 999999999 1", "the voxels must be in at most 100000 files, got 'gone%d.raw 0 999999999 1'."),
        ("gone%d.raw 0 9 0", "the voxels must be in at most 100000 files, got 'gone%d.raw 0 9 0'."),
    ],
)
@pytest.mark.parametrize("name", ["scan.nrrd", "scan.nhdr", "scan.mha", "scan.mhd"])
def test_voxels_are_not_read_from_keyboards_and_devices(tmp_path, name, place, said) -> None:
    nrrd = name[5] == "n"
    content = itk_bytes(f"raw{'.nrrd' if nrrd else '.mha'}", tmp_path)
    if nrrd:
        content = content[: content.index(b"\n\n")] + f"\ndata file: {place}\n\n".encode()
    else:
        content = content[: content.index(b"LOCAL")] + f"{place}\n".encode()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / name)
    assert str(error.value) == f"{tmp_path}/{name}: {said}"


def test_more_than_the_machine_has(tmp_path, monkeypatch) -> None:
    """A file that packs well may unpack to more than there is; and a codec's file says nothing of its own."""
    monkeypatch.setattr("saccade.data.size.memory_bytes", lambda: 10**6)
    path = tmp_path / "zeros.nii.gz"
    nib.Nifti1Image(np.zeros((100, 100, 60), np.int16), np.eye(4)).to_filename(path)
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert str(error.value) == f"{path}: its voxels take 0.0012 GB, this machine has 0.001 GB of memory."
    big = [("syntax", "", b"1.2.4.90"), ("0028 0010", "", b"\xff\xff"), ("0028 0011", "", b"\xff\xff")]
    series = write_series(tmp_path / "s", big, everywhere=True)
    with pytest.raises(InputError) as error:
        read_volume(series)
    assert str(error.value) == f"{series}/0.dcm: its voxels take 8.59 GB, this machine has 0.001 GB of memory."


def test_a_packed_file_that_goes_on_and_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saccade.data.nifti._MOST_BEHIND", 1 << 22)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes("plain") + bytes(6 << 20)))
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert str(error.value) == f"{path}: must end with its voxels, 4 MB and more come behind them."


def test_a_scan_of_enormous_voxels_is_no_endless_work(tmp_path, predictor) -> None:
    path = save(tmp_path / "a.nii.gz", blob(1)[0], np.diag([1.0, 1.0, 5000.0, 1.0]))
    with pytest.raises(InputError) as error:
        predictor.segment(path)
    wanted = " x ".join(f"{size:.4g}" for size in predictor.config.data.spacing_mm)
    assert str(error.value) == (
        f"{path}: its voxels of 1 x 1 x 5000 mm must be at most 100 times the wanted {wanted} mm. "
        "Is the spacing in its header right?"
    )
