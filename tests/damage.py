"""Small scans of every format as bytes, and ways to damage them that hypothesis can choose and shrink."""

import gzip
import re
import struct
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from hypothesis import strategies as st

SHAPE = (5, 7, 3)
AFFINE = np.array([[0, -1.5, 0, 10], [1.0, 0, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(-50, 100, SHAPE).astype(np.int16)
NIFTI = ("plain", "packed", "scaled", "qform", "two", "big", "extended")
WHOLE = (0, 1, -1, 2, 3, 4, 7, 8, 16, 64, 255, 352, 32767, -32768, 2**31 - 1, -(2**31), 2**63 - 1)
REAL = (0.0, -1.0, 0.5, 1e-3, 352.0, 1e9, 1e38, -1e38, 1e-45, 1e300, np.nan, np.inf, -np.inf)


@cache
def nifti_bytes(kind: str) -> bytes:
    """A NIfTI file before it is packed."""
    header = nib.Nifti2Header() if kind == "two" else nib.Nifti1Header(endianness=">" if kind == "big" else None)
    header.set_data_dtype(np.float32 if kind == "scaled" else np.int16)
    header.set_xyzt_units("mm", "sec")
    if kind == "extended":
        header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a remark on the scan" * 3))
        dicom = bytes.fromhex("1000100050 4e0400 53414d00".replace(" ", ""))  # the patient's name
        header.extensions.append(nib.nifti1.Nifti1Extension(2, dicom))
    class_ = nib.Nifti2Image if kind == "two" else nib.Nifti1Image
    image = class_(VOXELS.astype(header.get_data_dtype()), None if kind == "qform" else AFFINE, header)
    if kind == "qform":
        image.set_qform(AFFINE, 1)
    if kind == "scaled":
        image.header.set_slope_inter(2.5, -7)
    return bytes(image.to_bytes())


@cache
def itk_bytes(kind: str, folder: Path) -> bytes:
    """An NRRD or MetaImage file; the folder is for ITK, which writes to files only."""
    path = folder / f"whole_{kind}"
    image = SimpleITK.GetImageFromArray(VOXELS.T)
    image.SetSpacing((1.5, 1.0, 2.5))
    SimpleITK.WriteImage(image, str(path), useCompression=kind.startswith("packed"))
    return path.read_bytes()


ITK = ("raw.nrrd", "packed.nrrd", "raw.mha", "packed.mha")
ITK_KEYS = (
    "NRRD0004", "type", "dimension", "space", "space dimension", "sizes", "spacings", "thicknesses", "kinds", "endian",
    "space directions", "space origin", "encoding", "data file", "byte skip", "line skip", "centerings", "max",
    "ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "CompressedDataSize", "HeaderSize",
    "TransformMatrix", "Offset", "CenterOfRotation", "AnatomicalOrientation", "ElementSpacing", "ElementSize",
    "DimSize", "ElementType", "ElementNumberOfChannels", "ElementDataFile", "ElementMin",
)  # fmt: skip
ITK_WORDS = (
    "", "0", "1", "2", "3", "4", "-1", "5 7 3", "5 7", "7 5 3", "5 7 3 1", "0 7 3", "-5 7 3", "5 7 105", "105", "1e308",
    "nan nan nan", "inf 1 1", "0 0 0", "2147483647", "99999999999999999999", "5 7 99999999999", "raw", "gzip", "bzip2",
    "ascii", "hex", "block", "short", "double", "float", "char", "little", "big", "left-posterior-superior", "RAI",
    "(1,0,0) (0,1,0) (0,0,0)", "(1,0,0) none (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)", "1 0 0 0 1 0 0 0 0", "MET_DOUBLE",
    "MET_UCHAR", "MET_FLOAT_ARRAY", "MET_OTHER", "True", "False", "LOCAL", "LIST", "gone.raw", "space space vector",
)  # fmt: skip
ITK_LINES = st.lists(st.tuples(st.sampled_from(ITK_KEYS), st.sampled_from(ITK_WORDS)), max_size=3)


def with_lines(content: bytes, edits: list[tuple[str, str]]) -> bytes:
    """Other values in a header of text; a key that it has not comes first but for the line with the format's name."""
    for key, word in edits:
        between = b": " if content.startswith(b"NRRD") else b" = "
        line = key.encode() + between + word.encode()
        found = re.search(rb"^" + re.escape(key.encode()) + rb" ?[:=].*$", content, re.MULTILINE)
        place = (found.start(), found.end()) if found else (content.index(b"\n") + 1,) * 2
        content = content[: place[0]] + line + (b"" if found else b"\n") + content[place[1] :]
    return content


DICOM = {
    "0008 0016": ("UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    "0008 0060": ("CS", b"CT"),
    "0020 000E": ("UI", b"1.2.3\0"),
    "0018 0050": ("DS", b"4 "),
    "0020 0032": ("DS", b"0\\0\\{}"),
    "0020 0037": ("DS", b"1\\0\\0\\0\\1\\0 "),
    "0028 0002": ("US", struct.pack("<H", 1)),
    "0028 0004": ("CS", b"MONOCHROME2 "),
    "0028 0008": ("IS", b"1 "),
    "0028 0010": ("US", struct.pack("<H", 7)),
    "0028 0011": ("US", struct.pack("<H", 5)),
    "0028 0030": ("DS", b"3\\2 "),
    "0028 0100": ("US", struct.pack("<H", 16)),
    "0028 0101": ("US", struct.pack("<H", 16)),
    "0028 0102": ("US", struct.pack("<H", 15)),
    "0028 0103": ("US", struct.pack("<H", 1)),
    "0028 1052": ("DS", b"-1024 "),
    "0028 1053": ("DS", b"1 "),
    "7FE0 0010": ("OW", b""),
}
SYNTAXES = ("1.2", "1.2.1", "1.2.2", "1.2.1.99", "1.2.4.50", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5", "9.9")
DICOM_WORDS = (
    "", "0", "-1", "2", "3", "1e308", "-1e308", "nan", "inf", "1e-300", "x", "3\\2", "0\\0", "-3\\2", "1e-9\\1e-9",
    "1\\2\\3", "0\\0\\1e9", "0\\0\\5e5", "1\\0\\0\\1\\0\\0", "0\\0\\0\\0\\0\\0", "1\\0\\0\\0\\0.9\\0.4359", "SEG",
    "99999999", "PALETTE COLOR", "RGB", "YBR_FULL_422", "1.2.3", "\\",
)  # fmt: skip
RAW = st.one_of(
    st.sampled_from(DICOM_WORDS).map(lambda word: word.encode()),
    st.sampled_from(WHOLE).map(lambda number: struct.pack("<H", number % 65536)),
    st.binary(max_size=12),
)
DICOM_EDITS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(sorted(DICOM)), st.sampled_from(["", "", "", "US", "DS", "SQ", "UN", "OB", "??"]), RAW
        ),
        st.tuples(st.just("syntax"), st.just(""), st.sampled_from(SYNTAXES).map(lambda name: name.encode())),
        st.tuples(st.just("left out"), st.just(""), st.sampled_from(sorted(DICOM)).map(str.encode)),
    ),
    max_size=3,
)


def dicom_bytes(z: float, edits: list[tuple[str, str, bytes]]) -> bytes:
    """One slice, explicit VR little endian whatever it says of itself, with other values in place of some."""
    elements = {tag: (vr, value.replace(b"{}", f"{z:g}".encode())) for tag, (vr, value) in DICOM.items()}
    elements["7FE0 0010"] = ("OW", VOXELS[:, :, int(z) % 3].T.tobytes())
    syntax = "1.2.840.10008.1.2.1"
    for what, vr, value in edits:
        if what == "syntax":
            syntax = f"1.2.840.10008.{value.decode()}"
        elif what == "left out":
            elements.pop(value.decode(), None)
        elif what in elements:
            elements[what] = (vr or elements[what][0], value)
    meta = _element("0002 0010", "UI", syntax.encode())
    group = _element("0002 0000", "UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + group + meta + b"".join(_element(tag, *rest) for tag, rest in elements.items())


def _element(tag: str, vr: str, value: bytes) -> bytes:
    group, element = (int(part, 16) for part in tag.split())
    value += (b"\0" if vr in ("UI", "OW", "OB") else b" ") * (len(value) % 2)
    start = struct.pack("<HH", group, element) + vr.encode()
    long = vr in ("OB", "OW", "SQ", "UN")
    return start + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value


@st.composite
def field_edits(draw: st.DrawFn, dtype: np.dtype) -> list[tuple[int, bytes]]:
    """Other values for up to three fields of a binary header, as (place, bytes)."""
    edits = []
    for name in draw(st.lists(st.sampled_from(dtype.names), min_size=1, max_size=3)):
        base, offset = dtype.fields[name][:2]
        item = base.base
        place = offset + item.itemsize * draw(st.integers(0, max(0, base.itemsize // item.itemsize - 1)))
        edits.append((place, draw(_values(item))))
    return edits


def _values(item: np.dtype) -> st.SearchStrategy[bytes]:
    if item.kind == "f":
        with np.errstate(all="ignore"):
            return st.sampled_from([np.array(value).astype(item).tobytes() for value in REAL])
    if item.kind in "iu":
        return st.sampled_from([(value % 256**item.itemsize).to_bytes(item.itemsize, "little") for value in WHOLE])
    return st.binary(min_size=1, max_size=item.itemsize)


# (how, where along the file, bytes): the rest is cut off, bytes are put in, or written over what is there
BYTE_EDITS = st.lists(
    st.tuples(st.sampled_from(["cut", "in", "over", "over"]), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
    max_size=3,
)


def with_bytes(content: bytes, edits: list[tuple[str, float, bytes]], first: int | None = None) -> bytes:
    """Damage anywhere, or within the first bytes."""
    for how, where, new in edits:
        place = int(where * min(len(content), first or len(content)))
        rest = {"cut": b"", "in": new + content[place:], "over": new + content[place + len(new) :]}[how]
        content = content[:place] + rest
    return content


def with_fields(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    """Other values in a binary header."""
    for place, new in edits:
        content = content[:place] + new + content[place + len(new) :]
    return content


def packed(content: bytes) -> bytes:
    """As .nii.gz."""
    return gzip.compress(content, 3, mtime=0)
