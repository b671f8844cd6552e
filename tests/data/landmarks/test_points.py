"""Tables of landmarks: read in both forms, every fault found, points brought to a network's grid and back."""

import json

import numpy as np
import pytest
from landmark_sets import AFFINE, NAMES, SHAPE, pictures, spots, volumes, write

from saccade.cli.main import main
from saccade.data.classification.prepare import Values, prepare
from saccade.data.classification.read import Image, read_image
from saccade.data.landmarks.check import check_landmarks, describe_landmarks
from saccade.data.landmarks.layouts import find_landmark_dataset, is_landmark_dataset, scan_landmark_dataset
from saccade.data.landmarks.placement import affine_of, place
from saccade.errors import InputError

LONG = ["image", "name", "x", "y"]


def test_both_forms_say_the_same(tmp_path) -> None:
    long, wide = (
        find_landmark_dataset(pictures(tmp_path / f"{wide}", 3, wide=wide, missing=(1, "middle")))
        for wide in (False, True)
    )
    assert long.names == wide.names == NAMES
    assert long.dims == 2
    assert [case.id for case in long.cases] == ["p0", "p1", "p2"]
    for a, b in zip(long.cases, wide.cases, strict=True):
        assert a.points == b.points
    assert set(long.case("p1").points) == {"top", "bottom"}
    _, places = spots(0)
    assert long.case("p0").points["bottom"] == (places[2][1] + 0.5, places[2][0] + 0.5)
    assert describe_landmarks(long) == "3 landmarks; missing: middle 1 times"


def test_splits_groups_and_lines(tmp_path) -> None:
    root = pictures(tmp_path, 2)
    rows = [
        ["p0.png", "top", 3, 4, "train", "anna"],
        ["p1.png", "top", 5, 6, "val", "bert"],
        ["p1.png", "", "", "", "", ""],
    ]
    write(root / "points.csv", [*LONG, "split", "patient"], rows)
    lines = [["p0.png", "top", 1, 4, 2.5], ["p0.png", "top", 9, 4, 2.5]]
    write(root / "lines.csv", [*LONG, "half_width"], lines)
    dataset = find_landmark_dataset(root)
    assert [(c.split, c.group) for c in dataset.cases] == [("train", "anna"), ("validation", "bert")]
    assert dataset.case("p0").lines["top"].vertices == ((1.0, 4.0), (9.0, 4.0))
    assert dataset.case("p0").lines["top"].half_width == 2.5
    assert dataset.case("p0").values == ("top 3 4",)
    with pytest.raises(InputError, match=r"must hold case 'p7', got 2 other case\(s\)"):
        dataset.case("p7")


def test_a_table_is_told_from_others(tmp_path) -> None:
    assert is_landmark_dataset(pictures(tmp_path / "a", 1))
    assert is_landmark_dataset(tmp_path / "a/points.csv")
    assert not is_landmark_dataset(write(tmp_path / "b/table.csv", ["image", "label"], [["p0.png", "cat"]]))
    boxes = ["image", "x1", "y1", "x2", "y2", "class"]
    assert not is_landmark_dataset(write(tmp_path / "c/boxes.csv", boxes, []))
    assert not is_landmark_dataset(write(tmp_path / "d/lines.csv", [*LONG, "half_width"], []))
    assert not is_landmark_dataset(tmp_path / "nothing")


def test_every_fault_is_found_at_once(tmp_path, capsys) -> None:
    root = pictures(tmp_path, 2)
    (root / "images/broken.png").write_bytes(b"no picture")
    rows = [
        ["p0.png", "top", SHAPE[1] + 1, 4], ["p0.png", "middle", 3, 4], ["p0.png", "middle", 5, 4],
        ["p0.png", "bottom", 3, 4], ["gone.png", "top", 1, 1], ["broken.png", "top", 1, 1], ["p1.png", "tail", "", ""],
    ]  # fmt: skip
    write(root / "points.csv", LONG, rows)
    write(root / "lines.csv", [*LONG, "half_width"], [["p1.png", "top", 1, 4, 2], ["p1.png", "top", 9, 4, 2]])
    found = check_landmarks(scan_landmark_dataset(root))
    assert {(fault.case, fault.kind) for fault in found} == {
        ("", "empty landmark"), ("broken", "unreadable"), ("gone", "missing file"), ("p0", "duplicate point"),
        ("p0", "point outside"), ("p1", "unknown point"),
    }  # fmt: skip
    assert sum(fault.kind == "duplicate point" for fault in found) == 2  # named twice, and two of them in one place
    assert any(f.expected == "top: within (0, 0) to (29, 37)" and f.found == "(30, 4)" for f in found)
    assert main(["data", "check", str(root), "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["landmarks"] == ["top", "middle", "bottom", "tail"]
    assert len(said["faults"]) == len(found)
    with pytest.raises(InputError, match="See all faults with: saccade data check"):
        find_landmark_dataset(root)


def test_a_clean_set_has_no_fault(tmp_path, capsys) -> None:
    assert main(["data", "check", str(pictures(tmp_path / "a", 2))]) == 0
    assert (
        "landmarks, 2 images (3 landmarks, all of them in every image), no faults."
        in capsys.readouterr().out.replace("\n", "")
    )
    assert check_landmarks(scan_landmark_dataset(volumes(tmp_path / "b", 2))) == []


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (LONG, [["p0.png", "top", "three", 4]], "line 2: x must be a number, got 'three'."),
        (LONG, [["p0.png", "top", 3, ""]], "line 2: y must be a number, got ''."),
        (LONG, [["p0.png", "", 3, 4]], "line 2: a point must have a name, got none."),
        (LONG, [["", "top", 3, 4]], "line 2: image must name an image, is empty."),
        (["file", "a_x", "a_y"], [["p0.png", 1, "inf"]], "line 2: a_y must be a number, got 'inf'."),
    ],
)
def test_one_line_for_what_cannot_be_read(tmp_path, header, rows, message) -> None:
    root = pictures(tmp_path, 1)
    write(root / "points.csv", header, rows)
    with pytest.raises(InputError) as error:
        scan_landmark_dataset(root)
    assert str(error.value) == f"{root / 'points.csv'}: {message}"


def test_one_line_for_folders_without_a_table(tmp_path) -> None:
    with pytest.raises(InputError, match=r"must hold a CSV of landmarks: .*; got an empty folder\.$"):
        scan_landmark_dataset(tmp_path)
    write(tmp_path / "a.csv", LONG, [])
    write(tmp_path / "b.csv", LONG, [])
    with pytest.raises(InputError, match=r"must hold one table of landmarks, got a\.csv, b\.csv\. Give the file\.$"):
        scan_landmark_dataset(tmp_path)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(48, 40), (20, 31), (37, 29)])
def test_points_follow_their_picture(tmp_path, fit, size) -> None:
    dataset = find_landmark_dataset(pictures(tmp_path, 1))
    case = dataset.cases[0]
    image = read_image(case.source)
    placement = place(image, affine_of(case.source), size, fit)
    points = np.array(list(case.points.values()))
    on_grid = placement.to_grid(points)
    assert placement.to_user(on_grid) == pytest.approx(points)
    assert not placement.physical
    x = prepare(image, channels=1, size=size, fit=fit, values=Values("min_max"), where="")[0].numpy()
    for row, column in on_grid:
        if 2 < row < size[0] - 2 and 2 < column < size[1] - 2:  # cropping may have cut it off
            around = x[int(row) - 2 : int(row) + 3, int(column) - 2 : int(column) + 3]
            peak = np.unravel_index(around.argmax(), around.shape)
            assert np.abs(np.array(peak) - 2).max() <= 1


def test_points_follow_their_volume_whatever_its_axes(tmp_path) -> None:
    dataset = find_landmark_dataset(volumes(tmp_path, 1))
    case = dataset.cases[0]
    image = read_image(case.source)
    placement = place(image, affine_of(case.source), image.space, "stretch")
    points = np.array(list(case.points.values()))
    on_grid = placement.to_grid(points)
    for position in on_grid:
        i, j, k = (int(v) for v in position)
        assert image.array[i, j, k, 0] > 180  # the spot is there
    assert placement.measured(on_grid) == pytest.approx(points)
    assert placement.physical
    voxels = spots(0, (31, 13, 11))[1]
    assert points == pytest.approx((AFFINE @ np.c_[voxels, np.ones(3)].T).T[:, :3])


def test_an_array_has_pixels() -> None:
    placement = place(Image(np.zeros((6, 8, 1)), None), None, (3, 8), "stretch")
    assert placement.to_grid(np.array([[4.0, 3.0]])).tolist() == [[1.5, 4.0]]
