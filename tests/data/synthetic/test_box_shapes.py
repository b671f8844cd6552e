"""Simulated shapes: boxes are those of what was drawn, pictures are apart, and the same seed gives the same bytes."""

import numpy as np
import pytest

from saccade.cli.main import main
from saccade.data.detection.layouts import find_box_dataset
from saccade.data.synthetic.box_shapes import CLASSES, SIDE, make, simulate_shapes
from saccade.errors import InputError


def files(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_command_makes_a_set_that_can_be_checked(tmp_path, capsys) -> None:
    assert main(["data", "make", "shapes-boxes", str(tmp_path / "set"), "--cases", "7", "--seed", "3"]) == 0
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    dataset = find_box_dataset(tmp_path / "set")
    assert len(dataset.scenes) == 7
    make(tmp_path / "again", cases=7, seed=3)
    assert files(tmp_path / "set") == files(tmp_path / "again")
    make(tmp_path / "fewer", cases=2, seed=3)
    assert files(tmp_path / "fewer")["images/shapes_0001.png"] == files(tmp_path / "set")["images/shapes_0001.png"]


def test_boxes_end_where_the_shapes_do_and_keep_apart() -> None:
    counts, names = set(), set()
    for case in range(40):
        pixels, objects = simulate_shapes(0, case)
        counts.add(len(objects))
        names |= {item.name for item in objects}
        behind = np.ones((SIDE, SIDE), bool)
        for item in objects:
            x1, y1, x2, y2 = map(int, item.box)
            assert 0 <= x1 < x2 <= SIDE
            assert 0 <= y1 < y2 <= SIDE
            assert 10 <= x2 - x1 <= 70
            assert behind[y1:y2, x1:x2].all()  # nothing else lies there
            behind[y1:y2, x1:x2] = False
            middle = pixels[(y1 + y2) // 2, x1:x2].astype(float)
            rows = np.r_[max(0, y1 - 3) : y1, y2 : min(SIDE, y2 + 3)]
            around = np.median(pixels[rows, x1:x2]) if len(rows) else np.median(pixels)
            assert abs(np.median(middle[len(middle) // 3 : -(len(middle) // 3)]) - around) > 12
    assert counts == {1, 2, 3}
    assert names == set(CLASSES)


def test_none_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="cases must be 1 or more, got 0"):
        make(tmp_path, cases=0, seed=0)
