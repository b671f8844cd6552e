import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.orient import from_canonical, to_canonical
from saccade.data.volume import (
    Volume,
    is_volume_file,
    read_grid,
    read_volume,
    same_grid,
    strip_suffix,
    write_volume,
)
from saccade.errors import InputError

SHAPE = (5, 7, 11)
SHARED = Path(__file__).parents[2] / "../shared/data"
ORIENTATIONS = [
    np.array([[signs[row] if axes[row] == column else 0.0 for column in range(3)] for row in range(3)])
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
AXIS_CODES = ["".join(nib.aff2axcodes(nib.affines.from_matvec(matrix))) for matrix in ORIENTATIONS]


def rotation(x: float, y: float, z: float) -> np.ndarray:
    cx, cy, cz, sx, sy, sz = *np.cos([x, y, z]), *np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def oblique_affine(orientation: np.ndarray, angles=(0.2, -0.1, 0.15), spacing=(0.7, 1.3, 2.9)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ orientation @ np.diag(spacing)
    affine[:3, 3] = (-101.3, 57.9, -803.1)
    return affine


def nifti(path: Path, sform=None, qform=None, dtype=np.int16, codes=(2, 1), array=None) -> Path:
    """A file with a header that says as much as a header can, and sform and qform as given."""
    if array is None:
        array = np.random.default_rng(0).integers(0, 100, SHAPE).astype(dtype)
    header = nib.Nifti1Header()
    header.set_data_shape(array.shape)
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm", "sec")
    header.set_dim_info(1, 0, 2)
    header["descrip"] = b"a scan"
    header["aux_file"] = b"none"
    header["pixdim"][4:] = (7, 1, 1, 1)
    header["cal_max"], header["toffset"] = 300, 3
    if qform is not None:
        header.set_qform(qform, codes[1])
    if sform is not None:
        header.set_sform(sform, codes[0])
    image = nib.Nifti1Image(array, None, header)
    image.to_filename(path)
    return path


def header_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)[:348]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=AXIS_CODES)
@pytest.mark.parametrize("forms", ["sform", "qform", "both", "differ", "none"])
def test_an_identity_model_gives_back_voxels_affine_and_header_in_every_orientation(tmp_path, orientation, forms):
    affine = oblique_affine(orientation)
    other = oblique_affine(orientation, angles=(0.5, 0.1, 0.0), spacing=(0.7, 1.3, 2.9))
    sform = affine if forms in ("sform", "both", "differ") else None
    qform = {"qform": affine, "both": affine, "differ": other}.get(forms)
    path = nifti(tmp_path / "in.nii", sform, qform)
    volume = read_volume(path)
    assert np.array_equal(volume.affine, nib.load(path).affine)

    canonical = to_canonical(volume)
    back = from_canonical(canonical.array, volume)
    write_volume(volume.like(back), tmp_path / "out.nii.gz")
    again = read_volume(tmp_path / "out.nii.gz")

    assert again.array.dtype == volume.array.dtype
    assert np.array_equal(again.array, volume.array)
    assert again.affine.tobytes() == volume.affine.tobytes()
    assert header_bytes(tmp_path / "out.nii.gz") == header_bytes(path)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=AXIS_CODES)
def test_a_marked_voxel_stays_in_place_through_every_format_and_the_canonical_order(tmp_path, orientation):
    mark = np.zeros(SHAPE, np.uint8)
    mark[3, 1, 8] = 1
    volume = Volume(mark, oblique_affine(orientation))
    world = volume.affine @ (3, 1, 8, 1)
    canonical = to_canonical(volume)
    assert np.array_equal(nib.orientations.io_orientation(canonical.affine), [[0, 1], [1, 1], [2, 1]])
    steps = [canonical]
    for name in ("a.nii.gz", "b.nrrd", "c.mha", "d.nii"):
        write_volume(volume, tmp_path / name)
        volume = read_volume(tmp_path / name)
        steps += [volume, to_canonical(volume)]
        assert read_grid(tmp_path / name)[0] == SHAPE
        assert np.array_equal(read_grid(tmp_path / name)[1], volume.affine)
    for step in steps:
        assert step.array.dtype == np.uint8
        ((i, j, k),) = np.argwhere(step.array == 1)
        assert np.abs(step.affine @ (i, j, k, 1) - world).max() < 1e-3
    assert same_grid(steps[1], volume)


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    channels=st.sampled_from([None, 2]),
)
def test_the_canonical_order_is_left_and_found_again_bit_for_bit(orientation, angles, spacing, channels):
    shape = SHAPE if channels is None else (*SHAPE, channels)
    array = np.random.default_rng(1).normal(size=shape)
    volume = Volume(array, oblique_affine(orientation, angles, spacing))
    canonical = to_canonical(volume)
    assert from_canonical(canonical.array, volume).tobytes() == array.tobytes()
    assert canonical.array[0, 0, 0].sum() == array[_index_of(canonical, volume)].sum()
    assert to_canonical(canonical) is canonical


def _index_of(canonical: Volume, volume: Volume) -> tuple[int, ...]:
    index = np.linalg.solve(volume.affine, canonical.affine @ (0, 0, 0, 1))[:3]
    return tuple(np.rint(index).astype(int))


def test_a_canonical_volume_written_as_nifti_keeps_codes_and_turns_the_scan_axes(tmp_path):
    affine = oblique_affine(ORIENTATIONS[13])
    volume = to_canonical(read_volume(nifti(tmp_path / "in.nii", affine, affine)))
    write_volume(volume, tmp_path / "out.nii")
    header = nib.load(tmp_path / "out.nii").header
    assert np.allclose(header.get_sform(), volume.affine, atol=1e-4)
    assert np.allclose(header.get_qform(), volume.affine, atol=1e-4)
    assert (int(header["sform_code"]), int(header["qform_code"])) == (2, 1)
    assert np.allclose(header.get_zooms(), volume.spacing_mm)
    # orientation 13 sends axis 0 to 1, 1 to 0 ... : frequency, phase and slice axes go along
    places = nib.orientations.io_orientation(affine)[:, 0]
    assert header.get_dim_info() == (places[1], places[0], places[2])


def test_like_changes_the_dtype_on_disk_and_nothing_of_the_grid(tmp_path):
    affine = oblique_affine(np.eye(3))
    volume = read_volume(nifti(tmp_path / "in.nii.gz", affine, affine))
    soft = np.linspace(0, 1, 385, dtype=np.float32).reshape(SHAPE)
    for array, stored in (
        (soft, np.float32),
        (soft > 0.5, np.uint8),
        (soft.astype(np.float16), np.float32),
        ((soft * 1e5).astype(np.int64), np.int64),
        (soft.astype(np.float64), np.float64),
    ):
        write_volume(volume.like(array), tmp_path / "out.nii.gz")
        again = read_volume(tmp_path / "out.nii.gz")
        assert again.array.dtype == stored
        assert np.array_equal(again.array, array)
        assert again.affine.tobytes() == volume.affine.tobytes()
        assert nib.load(tmp_path / "out.nii.gz").header.get_xyzt_units() == ("mm", "sec")
        assert float(again.header["cal_max"]) == 0
    assert float(volume.like(volume.array).header["cal_max"]) == 300
    assert volume.like(soft, np.uint8).array.dtype == np.uint8
    with pytest.raises(InputError) as caught:
        volume.like(soft[1:])
    assert str(caught.value) == "Volume.like: the array must have the spatial shape (5, 7, 11), got (4, 7, 11)."


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype", "expected"),
    [
        (1, -1024, np.int16, np.int16),  # 0..99 - 1024: still int16
        (1, -1024, np.uint8, np.int16),
        (1000, 0, np.int16, np.int32),  # 99000 does not fit int16
        (0.5, 1, np.int16, np.float32),
        (0.5, 1, np.int32, np.float64),
        (2, 1, np.float32, np.float32),
    ],
)
def test_the_rescale_of_the_file_is_applied_and_integers_stay_integers(tmp_path, slope, intercept, dtype, expected):
    path = nifti(tmp_path / "in.nii", np.eye(4), dtype=dtype)
    stored = nib.load(path).dataobj.get_unscaled().astype(np.float64)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, intercept], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(data)
    volume = read_volume(path)
    assert volume.array.dtype == expected
    assert np.array_equal(volume.array, stored * slope + intercept)
    write_volume(volume, tmp_path / "out.nii")
    assert np.array_equal(read_volume(tmp_path / "out.nii").array, volume.array)
    assert np.frombuffer((tmp_path / "out.nii").read_bytes()[112:120], "<f4").tolist() == [1, 0]


def test_axes_units_byte_order_and_nifti_2(tmp_path):
    array = np.arange(770, dtype=np.int16).reshape(*SHAPE, 2)
    four = read_volume(nifti(tmp_path / "four.nii", np.eye(4), array=array))
    assert (four.shape, four.channels, four.array.shape) == (SHAPE, 2, (5, 7, 11, 2))
    assert read_grid(tmp_path / "four.nii")[0] == SHAPE
    assert np.array_equal(four.array, array)
    dropped = read_volume(nifti(tmp_path / "one.nii", np.eye(4), array=array[..., :1]))
    assert (dropped.channels, dropped.array.shape) == (1, SHAPE)
    slice_ = read_volume(nifti(tmp_path / "slice.nii", np.eye(4), array=array[:, :, 0, 0]))
    assert slice_.shape == (5, 7, 1)

    micron = nib.Nifti1Image(array[..., 0], np.diag([40.0, 40, 50, 1]))
    micron.header.set_xyzt_units("micron")
    micron.to_filename(tmp_path / "micron.nii")
    volume = read_volume(tmp_path / "micron.nii")
    assert volume.spacing_mm == pytest.approx((0.04, 0.04, 0.05))
    write_volume(volume, tmp_path / "out.nii")
    assert header_bytes(tmp_path / "out.nii") == header_bytes(tmp_path / "micron.nii")
    write_volume(Volume(volume.array, volume.affine * [[2], [2], [2], [1]], volume.header), tmp_path / "out.nii")
    assert read_volume(tmp_path / "out.nii").spacing_mm == pytest.approx((0.08, 0.08, 0.1))
    assert nib.load(tmp_path / "out.nii").header.get_xyzt_units()[0] == "mm"

    big = nib.Nifti1Image(array[..., 0], np.eye(4), nib.Nifti1Header(endianness=">"))
    big.set_data_dtype(">i2")
    big.to_filename(tmp_path / "big.nii")
    assert read_volume(tmp_path / "big.nii").array.dtype.isnative
    assert np.array_equal(read_volume(tmp_path / "big.nii").array, array[..., 0])

    nib.Nifti2Image(array[..., 0], oblique_affine(np.eye(3))).to_filename(tmp_path / "two.nii.gz")
    two = read_volume(tmp_path / "two.nii.gz")
    assert np.array_equal(two.affine, oblique_affine(np.eye(3)))
    write_volume(two.like(two.array), tmp_path / "out.nii.gz")
    assert isinstance(nib.load(tmp_path / "out.nii.gz"), nib.Nifti2Image)
    long = Volume(np.zeros((40000, 1, 1), np.uint8), np.eye(4))
    write_volume(long, tmp_path / "long.nii")
    assert read_volume(tmp_path / "long.nii").shape == (40000, 1, 1)


def test_a_volume_lives_on_when_its_file_is_overwritten(tmp_path):
    array = np.arange(385, dtype=np.int16).reshape(SHAPE)
    volume = read_volume(nifti(tmp_path / "in.nii", np.eye(4), array=array))
    with open(tmp_path / "in.nii", "r+b") as stream:
        stream.write(bytes(1122))
    assert np.array_equal(volume.array, array)


def test_another_affine_than_the_headers_is_written_and_a_shear_drops_the_qform(tmp_path):
    volume = read_volume(nifti(tmp_path / "in.nii", np.eye(4), np.eye(4)))
    sheared = oblique_affine(np.eye(3))
    sheared[0, 2] += 1
    write_volume(Volume(volume.array, sheared, volume.header), tmp_path / "out.nii")
    again = read_volume(tmp_path / "out.nii")
    assert np.abs(again.affine - sheared).max() < 1e-4
    assert (int(again.header["sform_code"]), int(again.header["qform_code"])) == (2, 0)
    assert same_grid(again, Volume(volume.array, sheared))
    for name in ("out.nrrd", "out.mha"):
        write_volume(again, tmp_path / name)
        assert same_grid(read_volume(tmp_path / name), again)


def test_equal_volumes_give_equal_bytes_and_a_failed_write_leaves_the_old_file(tmp_path):
    volume = Volume(np.arange(385).reshape(SHAPE), np.eye(4))
    write_volume(volume, tmp_path / "a.nii.gz")
    write_volume(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[3:8] == bytes(5)  # neither name nor time in the gzip header
    with pytest.raises(InputError) as caught:
        write_volume(Volume(np.zeros(SHAPE, complex), np.eye(4)), tmp_path / "a.nii.gz")
    assert str(caught.value) == f"{tmp_path}/a.nii.gz: real numbers are needed, got voxels of type complex128."
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(InputError) as caught:
        write_volume(volume, tmp_path / "a.mhd")
    expected = f"{tmp_path}/a.mhd: volumes are written as .nii.gz, .nii, .nrrd, .mha, got another suffix."
    assert str(caught.value) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_channels_and_images_through_nrrd_and_metaimage(tmp_path):
    array = np.arange(770, dtype=np.uint16).reshape(*SHAPE, 2)
    for name in ("a.nrrd", "a.mha"):
        write_volume(Volume(array, oblique_affine(ORIENTATIONS[29])), tmp_path / name)
        again = read_volume(tmp_path / name)
        assert again.array.dtype == np.uint16
        assert np.array_equal(again.array, array)
        assert read_grid(tmp_path / name)[0] == SHAPE
    # an image, rows of 3: the first index runs fastest, and LPS (10, 20) is RAS (-10, -20)
    (tmp_path / "image.nrrd").write_text(
        "NRRD0004\ntype: short\ndimension: 2\nspace dimension: 2\nsizes: 3 2\nspace directions: (2,0) (0,3)\n"
        "space origin: (10,20)\nencoding: ascii\n\n1 2 3\n4 5 6\n"
    )
    image = read_volume(tmp_path / "image.nrrd")
    assert image.array[:, :, 0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert np.array_equal(image.affine, [[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, 1, 0], [0, 0, 0, 1]])


def _damaged(folder: Path, name: str) -> Path:
    path = folder / name
    good = nifti(folder / "good.nii", oblique_affine(np.eye(3))).read_bytes()
    packed = gzip.compress(good)
    affine = np.eye(4)
    contents = {
        "cut.nii.gz": packed[:-40],
        "checksum.nii.gz": packed[:-8] + bytes(4) + packed[-4:],
        "cut_inside.nii.gz": gzip.compress(good[:-100]),
        "text.nii.gz": b"this is no scan\n" * 50,
        "empty.nii": b"",
        "short.nii": good[:200],
        "magic.nii": good[:344] + b"xxxx" + good[348:],
        "pair.nii": good[:344] + b"ni1\0" + good[348:],
        "cut.nii": good[:-100],
    }
    if name in contents:
        path.write_bytes(contents[name])
    elif name == "nan.nii":
        affine[0, 3] = np.nan
        nifti(path, affine)
    elif name == "flat.nii":
        affine[:, 2] = affine[:, 1]
        nifti(path, affine)
    elif name == "zero.nii":
        data = bytearray(nifti(path, None, np.eye(4)).read_bytes())
        data[84:88] = bytes(4)  # pixdim[2]
        path.write_bytes(data)
    elif name == "column.nii":
        affine[:3, 2] = 0
        nifti(path, affine)
    elif name == "rgb.nii":
        colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nib.Nifti1Image(colour, np.eye(4)).to_filename(path)
    elif name == "five.nii":
        nib.Nifti1Image(np.zeros((*SHAPE, 2, 3), np.int16), np.eye(4)).to_filename(path)
    elif name == "complex.nii":
        nib.Nifti1Image(np.zeros(SHAPE, np.complex64), np.eye(4)).to_filename(path)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cut.nii.gz",
            "the file is truncated or damaged (Compressed file ended before the end-of-stream marker was reached).",
        ),
        ("cut_inside.nii.gz", "the file is truncated (its header promises 770 bytes of voxels)."),
        ("cut.nii", "the file is truncated (its header promises 770 bytes of voxels)."),
        ("text.nii.gz", "not a NIfTI file (its header has no NIfTI magic)."),
        ("empty.nii", "the file is empty."),
        ("short.nii", "not a NIfTI file (its header has no NIfTI magic)."),
        ("magic.nii", "not a NIfTI file (its header has no NIfTI magic)."),
        ("pair.nii", "half of a .hdr/.img pair; one file with header and voxels is needed."),
        ("nan.nii", "the affine must be finite, got NaN or infinity in it."),
        ("flat.nii", "the three voxel axes must not lie in one plane, got an affine of determinant 0."),
        ("zero.nii", "the voxel spacing must be above zero on every axis, got (1, 0, 1) mm."),
        ("column.nii", "the voxel spacing must be above zero on every axis, got (1, 1, 0) mm."),
        ("rgb.nii", "one number per voxel is needed, got colours (R, G, B)."),
        ("complex.nii", "real numbers are needed, got voxels of type complex64."),
        ("five.nii", "a volume has 3 axes and at most one for channels, got shape (5, 7, 11, 2, 3)."),
        ("missing.nii.gz", "there is no such file."),
        ("missing", "there is no such file or folder."),
        ("missing.mha", "there is no such file."),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_file(tmp_path, name, said, capfd):
    path = _damaged(tmp_path, name)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert str(caught.value) == f"{path}: {said}"
    assert capfd.readouterr() == ("", "")


def test_a_gzip_file_whose_check_sum_is_wrong_is_damaged(tmp_path):
    path = _damaged(tmp_path, "checksum.nii.gz")
    with pytest.raises(InputError, match=rf"^{path}: the file is truncated or damaged \(CRC check failed .*\)\.$"):
        read_volume(path)


def test_damaged_nrrd_and_unknown_formats_are_one_line(tmp_path):
    path = tmp_path / "a.nrrd"
    write_volume(Volume(np.ones(SHAPE, np.uint8), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "empty.mha").write_bytes(b"")
    (tmp_path / "text.nrrd").write_text("no nrrd")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(200))
    messages = {}
    for name in ("a.nrrd", "empty.mha", "text.nrrd", "picture.png"):
        with pytest.raises(InputError) as caught:
            read_volume(tmp_path / name)
        messages[name] = str(caught.value)
        assert messages[name].startswith(f"{tmp_path}/{name}: ")
        assert "\n" not in messages[name]
    assert messages["a.nrrd"] == f"{path}: the file is truncated (its header promises 385 bytes of voxels)."
    assert messages["empty.mha"] == f"{tmp_path}/empty.mha: the file is empty."
    assert messages["picture.png"] == (
        f"{tmp_path}/picture.png: not a volume. Give a file that ends in .nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd, "
        "or a DICOM series."
    )


def test_volume_refuses_what_is_no_volume():
    for array, affine, said in (
        (np.zeros((5, 7)), np.eye(4), "a volume has 3 axes and at most one for channels, got shape (5, 7)."),
        (np.zeros((5, 0, 7)), np.eye(4), "every axis must hold at least one voxel, got shape (5, 0, 7)."),
        (np.zeros(SHAPE), np.eye(3), "the affine must be 4x4, got shape (3, 3)."),
        (np.zeros(SHAPE), np.eye(4) * 2, "the last row of the affine must be 0 0 0 1, got [0.0, 0.0, 0.0, 2.0]."),
    ):
        with pytest.raises(InputError) as caught:
            Volume(array, affine)
        assert str(caught.value) == f"Volume: {said}"
    volume = Volume(np.zeros(SHAPE), oblique_affine(ORIENTATIONS[13]))
    with pytest.raises(InputError) as caught:
        from_canonical(np.zeros((2, 3, 5)), volume)
    expected = f"from_canonical: the array must have the spatial shape {to_canonical(volume).shape}, got (2, 3, 5)."
    assert str(caught.value) == expected


def test_same_grid_measures_the_furthest_voxel():
    volume = Volume(np.zeros(SHAPE), np.eye(4))
    near, far = np.eye(4), np.eye(4)
    near[2, 2] += 0.9e-4  # the last of 11 slices moves by 0.9e-3 mm
    far[2, 2] += 1.1e-4
    assert same_grid(volume, Volume(np.ones((*SHAPE, 2)), near))
    assert not same_grid(volume, Volume(np.zeros(SHAPE), far))
    assert same_grid(volume, Volume(np.zeros(SHAPE), far), tolerance_mm=0.01)
    assert not same_grid(volume, Volume(np.zeros((5, 7, 10)), np.eye(4)))


def test_names():
    for name, bare in (
        ("img0001.nii.gz", "img0001"),
        ("a.b.NII", "a.b"),
        ("x/case.nrrd", "case"),
        ("scan.mhd", "scan"),
    ):
        assert is_volume_file(name)
        assert strip_suffix(name) == bare
    for name in ("._img0001.nii.gz", ".nii.gz", "notes.txt", "dataset.json", "slice.dcm"):
        assert not is_volume_file(name)
    assert strip_suffix("notes.txt") == "notes.txt"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared example scans are not here")
@pytest.mark.parametrize("name", ["totalseg_ct_abdomen_3mm/ct.nii.gz", "totalseg_mr_abdomen_3mm/mr.nii.gz"])
def test_a_real_scan_keeps_every_byte_of_its_header(tmp_path, name):
    volume = read_volume(SHARED / name)
    canonical = to_canonical(volume)
    write_volume(volume.like(from_canonical(canonical.array, volume)), tmp_path / "out.nii.gz")
    assert header_bytes(tmp_path / "out.nii.gz") == header_bytes(SHARED / name)
    assert np.array_equal(read_volume(tmp_path / "out.nii.gz").array, volume.array)
