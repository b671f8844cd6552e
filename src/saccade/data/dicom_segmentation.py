"""Label maps as DICOM Segmentation objects, which an archive keeps beside the scan that they belong to."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from highdicom.content import (
    AlgorithmIdentificationSequence,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from saccade.data.dicom import find_stack, is_dicom
from saccade.data.grid import RAS_FROM_LPS, one_line
from saccade.data.labels import label_colour
from saccade.data.slices import Stack
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.files import atomic

# Names that no standard code is known for get one of our own, made from the name: the same name, the same code.
PRIVATE_SCHEME = "99SACCADE"
_LONGEST_TEXT = 64  # of DICOM's LO
_SERIES_NUMBER = 1000  # beyond those that scanners give
_UTF8 = "ISO_IR 192"  # organs may have names in any script
# Type 2 attributes of patient and study: they must be there and may be empty, yet anonymised files lack them.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


def is_dicom_series(paths: Sequence[Path]) -> bool:
    """Whether the files of a scan are one DICOM series: a folder, or one file of a series."""
    return len(paths) == 1 and (paths[0].is_dir() or is_dicom(paths[0]))


def write_dicom_segmentation(
    labels: Volume, names: Mapping[int, str], series: Path, path: Path, *, algorithm: str, serial: str
) -> None:
    """Write a label map as a DICOM Segmentation (binary) in the frame of reference of the series it was made from.

    Segment n is the n-th label value in order and is called by its name; its description holds the label value.
    Names of organs that SNOMED CT codes are known for carry them, with left or right as a modifier. Frames without a
    voxel of their segment are left out. Where the slices lie on the label map's grid the planes are theirs; where the
    series had to be resampled (gantry tilt, missing slices) they are those of the label map's own grid.

    Args:
        labels: (i, j, k) label values on the grid that ``read_volume(series)`` gives.
        names: Label value -> name, of everything that may occur in the labels.
        series: Folder of the series, or one of its files.
        path: The file, .dcm; whole or not there.
        algorithm: Name of what made the labels.
        serial: Identifies its weights, up to 64 characters.

    Raises:
        InputError: If there is no such series, the labels lie on another grid, or hold a value without a
            name, or headers of the series are unusable.
    """
    stack = find_stack(series)
    if labels.array.shape != stack.shape or not np.allclose(labels.affine, stack.affine, atol=1e-3):
        raise InputError(f"{series}: the label map must lie on the grid of the series, {stack.shape}.")
    values = sorted(names)
    unnamed = sorted({*np.unique(labels.array).tolist()} - {0, *values})
    if unnamed:
        raise InputError(f"{series}: every label must have a name to be written as DICOM, {unnamed[0]} has none.")
    number_of = np.zeros(max(values) + 1, np.uint16)
    number_of[values] = np.arange(1, len(values) + 1)
    frames = np.ascontiguousarray(number_of[labels.array].transpose(2, 1, 0))  # plane, row, column
    sources = _sources(stack)
    planes = _planes(stack) if stack.faults else {}
    if not frames.any():  # a file needs a frame: the first one, as empty as all that are left out
        frames, sources = frames[:1], sources[:1]
        planes = {name: value[:1] if name == "plane_positions" else value for name, value in planes.items()}
    try:
        with warnings.catch_warnings(action="ignore"):  # highdicom remarks on patients' names
            segmentation = _segmentation(frames, sources, planes, {n: names[n] for n in values}, algorithm, serial)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # headers say the oddest things
        reason = one_line(error)
        raise InputError(f"{series}: its headers do not allow a DICOM segmentation of it ({reason}).") from error
    with atomic(path) as temporary:
        segmentation.save_as(temporary)


def _segmentation(
    frames: np.ndarray,
    sources: list[pydicom.Dataset],
    planes: dict[str, Any],
    names: dict[int, str],
    algorithm: str,
    serial: str,
) -> Segmentation:
    identity = AlgorithmIdentificationSequence(
        name=algorithm[:_LONGEST_TEXT], version=version("saccade"), family=codes.DCM.ArtificialIntelligence
    )
    return Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            describe_segment(number, *item, identity) for number, item in enumerate(names.items(), start=1)
        ],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Saccade",
        manufacturer_model_name=algorithm[:_LONGEST_TEXT],
        software_versions=version("saccade"),
        device_serial_number=serial[:_LONGEST_TEXT],
        content_label="SEGMENTATION",
        content_description="Made by a network, not checked by a person",
        series_description=f"Segmentation by {algorithm}"[:_LONGEST_TEXT],
        specific_character_set=_UTF8,
        omit_empty_frames=bool(frames.any()),
        **planes,
    )


def describe_segment(
    number: int, value: int, name: str, identity: AlgorithmIdentificationSequence
) -> SegmentDescription:
    """Name, code, colour and label value of one segment."""
    category, kind, side = organ_code(name)
    description = SegmentDescription(
        segment_number=number,
        segment_label=_text(name, value),
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identity,
        display_color=CIELabColor.from_rgb(*label_colour(value)),
    )
    if side is not None:
        modifier = highdicom.sr.CodedConcept.from_code(side)
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    description.SegmentDescription = f"label value {value}"
    return description


def organ_code(name: str) -> tuple[Code, Code, Code | None]:
    """Category, type and side (right, left or None) that say in codes what a name says.

    >>> category, kind, side = organ_code("right kidney")
    >>> kind.value, side.meaning, organ_code("adrenal_gland_left")[1].meaning, organ_code("thing")[1].scheme_designator
    ('64033007', 'Right', 'Adrenal gland', '99SACCADE')
    """
    words = name.casefold().replace("_", " ").split()
    sides = [word for word in words if word in ("left", "right")]
    organ = " ".join(word for word in words if word not in ("left", "right"))
    if organ in _organ_codes() and len(sides) <= 1:
        value, meaning = _organ_codes()[organ]
        side = {"left": codes.SCT.Left, "right": codes.SCT.Right}[sides[0]] if sides else None
        return codes.SCT.AnatomicalStructure, Code(value, "SCT", meaning), side
    own = hashlib.blake2s(name.encode(), digest_size=6).hexdigest().upper()
    return codes.SCT.Tissue, Code(own, PRIVATE_SCHEME, _text(name, 0)), None


@cache
def _organ_codes() -> dict[str, list[str]]:
    content: dict[str, list[str]] = json.loads(Path(__file__).with_name("organ_codes.json").read_text(encoding="utf-8"))
    return content


def _sources(stack: Stack) -> list[pydicom.Dataset]:
    """Headers of the slices, with what anonymisation took away and the standard wants to be there."""
    headers: list[pydicom.Dataset] = [
        pydicom.dcmread(one.file, stop_before_pixels=True, force=True) for one in stack.slices
    ]
    first = headers[0]
    series = str(first.get("SeriesInstanceUID") or first.get("SOPInstanceUID"))
    for header in headers:
        for keyword in _MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, "")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            if not header.get(keyword):
                setattr(header, keyword, generate_uid(entropy_srcs=[series, keyword]))
        # Some writers put 1 mm there whatever it is; highdicom works it out from the positions where nothing is said.
        if "SpacingBetweenSlices" in header:
            del header.SpacingBetweenSlices
    return headers


def _planes(stack: Stack) -> dict[str, Any]:
    """The planes of a resampled series' grid, as arguments of a Segmentation."""
    lps = RAS_FROM_LPS @ stack.affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    along = lps[:3, :3] / spacing_mm
    orientation = [*along[:, 0], *along[:, 1]]
    return {
        "plane_positions": [
            PlanePositionSequence("PATIENT", [float(x) for x in (lps @ (0, 0, k, 1))[:3]])
            for k in range(stack.shape[2])
        ],
        "plane_orientation": PlaneOrientationSequence("PATIENT", [float(x) for x in orientation]),
        "pixel_measures": PixelMeasuresSequence(
            pixel_spacing=[float(spacing_mm[1]), float(spacing_mm[0])],  # between rows first
            slice_thickness=float(spacing_mm[2]),
            spacing_between_slices=float(spacing_mm[2]),
        ),
    }


def _text(name: str, value: int) -> str:
    """A name as DICOM's LO has it: no backslash, no control characters, not empty, not long."""
    printable = "".join(letter if letter.isprintable() else " " for letter in name.replace("\\", "/"))
    return " ".join(printable.split())[:_LONGEST_TEXT].strip() or f"label {value}"
