"""MetaImage files: whole ones are read whatever their form, damaged ones end in a line and never in an image."""

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from damage import VOXELS, itk_bytes
from fuzzing import written

from saccade.data.volume import read_volume
from saccade.errors import InputError


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    return itk_bytes("packed.mha", tmp_path)


def test_voxels_in_a_file_of_their_own(tmp_path, packed) -> None:
    head, _, voxels = packed.partition(b"LOCAL\n")
    (tmp_path / "scan.zraw").write_bytes(voxels)
    (tmp_path / "scan.mhd").write_bytes(head + b"scan.zraw")  # the last line need not end
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.mhd").array, VOXELS)
    image = SimpleITK.GetImageFromArray(VOXELS.T)
    SimpleITK.WriteImage(image, str(tmp_path / "raw.mhd"))
    np.testing.assert_array_equal(read_volume(tmp_path / "raw.mhd").array, VOXELS)
    (tmp_path / "raw.raw").write_bytes(b"behind a header of its own" + (tmp_path / "raw.raw").read_bytes())
    text = (tmp_path / "raw.mhd").read_text()
    (tmp_path / "raw.mhd").write_text(text.replace("ElementDataFile", "HeaderSize = 26\nElementDataFile"))
    np.testing.assert_array_equal(read_volume(tmp_path / "raw.mhd").array, VOXELS)


def read_or_refuse(path: Path) -> np.ndarray | None:
    try:
        return read_volume(path).array
    except InputError as error:
        said = str(error)
    assert re.search(r": (its voxels cannot be unpacked|the file is truncated|cannot be read as) ", said)
    return None


@pytest.mark.parametrize("kind", ["packed.mha", "packed.nrrd"])
def test_every_byte_of_packed_voxels_counts(tmp_path, kind) -> None:
    """ITK gives an image in silence, whatever is in it, where they cannot be unpacked."""
    content, path = itk_bytes(kind, tmp_path), (tmp_path / "scan").with_suffix(Path(kind).suffix)
    begin, refused = content.index(b"LOCAL\n" if path.suffix == ".mha" else b"\n\n") + 6, 0
    for place in range(begin, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        found = read_or_refuse(path)
        refused += found is None
        if found is not None:  # a date in gzip's own header means nothing
            np.testing.assert_array_equal(found, VOXELS)
    assert refused > 20
    path.write_bytes(content[:-9])
    assert read_or_refuse(path) is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"DimSize = 5 7 3\n", b"", "cannot be read as MetaImage (its header has no DimSize)."),
        (b"ElementType = MET_SHORT\n", b"", "cannot be read as MetaImage (its header has no ElementType)."),
        (b"ElementType = MET_SHORT", b"ElementType = MET_OTHER",
         "ElementType must be a type such as MET_SHORT, got MET_OTHER."),
        (b"DimSize = 5 7 3", b"DimSize = 5 7", "DimSize must be 3 numbers behind NDims, got 5 7."),
        (b"DimSize = 5 7 3", b"DimSize = 5 0 3", "DimSize must be 3 numbers behind NDims, got 5 0 3."),
        (b"ElementSpacing = 1.5 1 2.5", b"ElementSpacing = 1.5 nan 2.5",
         "ElementSpacing must be 3 numbers behind NDims, got 1.5 nan 2.5."),
        (b"Offset = 0 0 0", b"Offset = 0 0 0 0", "Offset must be 3 numbers behind NDims, got 0 0 0 0."),
        (b"ObjectType = Image\n", b"ObjectType = Image\nOffset = 0 0 0\n",
         "Offset must be 3 numbers behind NDims, got 0 0 0."),
        (b"ObjectType = Image\n", b"patient seven\n",
         "cannot be read as MetaImage (its header has a line without =, 'patient seven')."),
        (b"= LOCAL\n", b"= gone.raw\n", "its voxels must be in gone.raw, there is no such file."),
        (b"DimSize = 5 7 3", b"DimSize = 5 7 4", "the file is truncated (its header promises 280 bytes of voxels)."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["raw.mha", "packed.mha"])
def test_headers_that_are_not_whole(tmp_path, kind, before, after, said) -> None:
    content = itk_bytes(kind, tmp_path)
    assert content.count(before) == 1
    (tmp_path / "scan.mha").write_bytes(content.replace(before, after))
    with written() as remarks, pytest.raises(InputError) as error:
        read_volume(tmp_path / "scan.mha")
    assert str(error.value) == f"{tmp_path}/scan.mha: {said}"
    assert remarks == []  # ITK's own are never reached
