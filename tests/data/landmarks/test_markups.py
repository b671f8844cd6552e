"""Points of 3D Slicer: read from both of its formats into world RAS+, written so that they come back."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from saccade.cli.main import main
from saccade.data.landmarks.check import check_landmarks
from saccade.data.landmarks.layouts import find_landmark_dataset, is_landmark_dataset, scan_landmark_dataset
from saccade.data.landmarks.markups import read_markups, write_markups
from saccade.errors import InputError
from saccade.tasks.landmarks.files import is_points, read_points

# As Slicer's documentation has it, its points renamed
FCSV = """# Markups fiducial file version = 4.13
# CoordinateSystem = LPS
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
0,-4.5,6.25,7,0,0,0,1,1,1,0,hip,,
1,3,-2,1.5,0,0,0,1,1,1,0,knee,,
"""
AFFINE = np.array([[1.0, 0, 0, -12], [0, 1, 0, -12], [0, 0, 1, -12], [0, 0, 0, 1]])
POINTS = {"hip": (4.5, -6.25, 7.0), "knee": (-3.0, 2.0, 1.5)}


def markups(system: str = "LPS", **more: object) -> dict:
    points = [
        {"id": "1", "label": "hip", "position": [-4.5, 6.25, 7.0]},
        {"id": "2", "label": "knee", "position": [3.0, -2.0, 1.5], "positionStatus": "defined"},
        {"id": "3", "label": "foot", "position": [0.0, 0.0, 0.0], "positionStatus": "undefined"},
    ]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points, **more}]}


@pytest.fixture
def legs(tmp_path):
    """Two volumes; one with each format, points in a folder of their own."""
    for name in ("a", "b"):
        path = tmp_path / "legs" / "images" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.zeros((24, 24, 24), np.float32), AFFINE), path)
    points = tmp_path / "legs" / "points"
    points.mkdir()
    (points / "a.mrk.json").write_text(json.dumps(markups()), encoding="utf-8")
    (points / "b.fcsv").write_text(FCSV, encoding="utf-8")
    return tmp_path / "legs"


def test_both_formats_in_either_system_say_the_same(legs, tmp_path) -> None:
    assert read_markups(legs / "points/a.mrk.json") == read_markups(legs / "points/b.fcsv") == POINTS
    for name, said in (("ras.fcsv", "RAS"), ("old.fcsv", "0")):
        turned = FCSV.replace("LPS", said)
        (tmp_path / name).write_text(turned, encoding="utf-8")
        assert read_markups(tmp_path / name) == {n: (-x, -y, z) for n, (x, y, z) in POINTS.items()}
    write_markups(tmp_path / "again.mrk.json", POINTS, {"hip": "refined"})
    assert read_markups(tmp_path / "again.mrk.json") == POINTS
    written = json.loads((tmp_path / "again.mrk.json").read_text("utf-8"))["markups"][0]
    assert written["coordinateSystem"] == "LPS"
    assert [point["description"] for point in written["controlPoints"]] == ["refined", ""]


def test_a_folder_of_them_is_a_data_set(legs, capsys) -> None:
    assert is_landmark_dataset(legs)
    dataset = find_landmark_dataset(legs)
    assert [(case.id, case.source.name, dict(case.points)) for case in dataset.cases] == [
        ("a", "a.nii.gz", POINTS),
        ("b", "b.nii.gz", POINTS),
    ]
    assert dataset.names == ("hip", "knee", "foot")
    assert [fault.kind for fault in check_landmarks(dataset)] == ["empty landmark"]
    assert main(["data", "check", str(legs)]) == 2
    assert "2 images (3 landmarks; missing: foot 2 times)" in capsys.readouterr().out
    shutil.copytree(legs / "points", legs / "images", dirs_exist_ok=True)
    assert is_landmark_dataset(legs / "images")
    (legs / "labels").mkdir()
    assert not is_landmark_dataset(legs)  # a segmentation, some of whose scans have points


def test_a_folder_of_them_is_scored_as_predictions(legs, tmp_path, capsys) -> None:
    assert is_points(legs / "points")
    assert read_points(legs / "points") == {"a": POINTS, "b": POINTS}
    out = tmp_path / "scores.json"
    assert main(["evaluate", str(legs / "points"), str(legs), "--out", str(out)]) == 0
    assert json.loads(out.read_text("utf-8"))["summary"]["localised"]["value"] == 1.0


def test_what_is_wrong_is_said(legs) -> None:
    (legs / "points/c.fcsv").write_text(FCSV + "2,1,1,1,0,0,0,1,1,1,0,hip,,\n", encoding="utf-8")
    faults = scan_landmark_dataset(legs).faults
    assert [(fault.case, fault.kind) for fault in faults] == [("c", "duplicate point"), ("c", "missing file")]
    with pytest.raises(InputError, match="each landmark must be there once, got hip again"):
        read_markups(legs / "points/c.fcsv")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.fcsv", FCSV.replace("# CoordinateSystem = LPS\n", ""), "coordinates are LPS or RAS, got nothing"),
        ("x.fcsv", FCSV.replace("LPS", "IJK"), "must say that its coordinates are LPS or RAS, got IJK"),
        ("x.fcsv", FCSV.replace("6.25", "six"), r"hip: must have three numbers, got \['-4.5', 'six', '7'\]"),
        ("x.fcsv", FCSV.replace("6.25", "nan"), r"hip: must have three numbers, got \['-4.5', 'nan', '7'\]"),
        ("x.fcsv", FCSV + "3,1,2\n", "line 6: must have id,x,y,z,.*, got 3,1,2"),
        ("x.fcsv", FCSV.replace("knee", ""), "a point must have a name, got none"),
        ("x.mrk.json", json.dumps(markups(system="")), "must say that its coordinates are LPS or RAS, got nothing"),
        ("x.mrk.json", json.dumps(markups(type="Curve")), r"must have a list of points \(Fiducial\), has none"),
        ("x.mrk.json", json.dumps({"markups": [{}]}), r"as 3D Slicer writes them, but is not \(KeyError"),
        ("x.mrk.json", "[1]", "must be markups as 3D Slicer writes them"),
        ("x.mrk.json", "{", "x.mrk.json"),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_line(tmp_path, name, content, told) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        read_markups(path)
    assert "\n" not in str(error.value)
