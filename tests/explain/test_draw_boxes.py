"""Boxes on pictures: what is right and what is wrong, where each lies, and names that are only text."""

import numpy as np
import pytest
import tiny
from PIL import Image

from saccade.explain.draw_boxes import (
    FALSE_ALARM,
    FOUND,
    HIT,
    IGNORED,
    JUDGED,
    MISSED,
    Mark,
    Panel,
    box_figure,
    judged_marks,
    marks_of,
    panels_of,
    svg_boxes,
    svg_sample,
)
from saccade.explain.render import encode
from saccade.metrics.detection_match import Found, Truth
from saccade.tasks.detection.detections import Detections


def test_marks_of_a_judged_image() -> None:
    truth = Truth(
        np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]], float),
        ("red", "white", "red"),
        np.array([False, False, True]),
        np.zeros(3, bool),
    )
    found = Found(
        np.array([[0, 0, 10, 9], [60, 60, 70, 70], [40, 0, 50, 10]], float), np.array([0.9, 0.8, 0.7]), ("red",) * 3
    )
    marks = judged_marks(found, truth)
    assert [(mark.style, mark.label) for mark in marks] == [
        (MISSED, "white"), (FALSE_ALARM, "red 0.80"), (HIT, "red 0.90"), (FOUND, ""), (IGNORED, "red"),
        (IGNORED, "red 0.70"),
    ]  # fmt: skip
    assert marks[0].box == (20, 20, 30, 30)
    # told apart by colour and by line, each of them alone
    assert len({style.colour for style in JUDGED}) == len(JUDGED)
    assert len({(style.dashes, style.width) for style in JUDGED}) == len(JUDGED)


def test_classes_have_colours_of_their_own() -> None:
    said = Detections(np.array([[0.0, 1, 2, 3], [1, 1, 2, 2]]), np.array([0.5, 0.25]), ("b", "a"))
    first, second = marks_of(said, ["a", "b"])
    assert (first.label, second.label) == ("b 0.50", "a 0.25")
    assert first.style.colour != second.style.colour


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_picture_is_drawn_with_its_boxes(depth, tmp_path) -> None:
    pixels = np.zeros((30, 40), depth)
    pixels[10:20, 5:25] = np.iinfo(depth).max
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (panel,) = panels_of(tmp_path / "a.png", [Mark((5, 10, 25, 20), HIT, "x $_{y}$ 0.5")])
    assert panel.levels.shape == (30, 40, 3)
    assert panel.levels[15, 15].tolist() == [1, 1, 1]
    assert panel.levels[0, 0].tolist() == [0, 0, 0]
    encode(box_figure([panel]))  # a name with dollars is no formula
    bare = np.frombuffer(encode(box_figure(panels_of(tmp_path / "a.png", []))), np.uint8)
    assert len(bare) > 500


def test_slices_go_through_the_boxes_and_are_seen_as_radiologists_do(tmp_path) -> None:
    scan = np.zeros((20, 24, 10), np.float32)
    scan[3:9, 10:15, 2:6] = 1
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    path = tiny.save(tmp_path / "scan.nii.gz", scan, affine)
    # voxels 3 to 8, 10 to 14, 2 to 5 in mm, from half a voxel before to half a voxel behind
    first, other = (5, 28.5, 6, 17, 43.5, 22), (0, 0, 30, 4, 3, 34)
    panels = panels_of(path, [Mark(first, HIT, "a"), Mark(other, MISSED, "b")])
    assert [panel.title for panel in panels] == ["axial slice 5 of 10", "axial slice 9 of 10"]
    assert panels[0].levels.shape == (24, 20, 3)
    assert panels[0].aspect == pytest.approx(1.5)
    (mark,) = panels[0].marks
    assert mark.box == pytest.approx((20 - 9, 24 - 15, 20 - 3, 24 - 10))
    x1, y1, x2, y2 = (round(value) for value in mark.box)
    bright = panels[0].levels[..., 0] > 0.5
    assert bright[y1:y2, x1:x2].all()
    assert bright.sum() == (x2 - x1) * (y2 - y1)
    assert [mark.label for mark in panels[1].marks] == ["b"]
    assert panels_of(path, [])[0].title == "axial slice 6 of 10"
    encode(box_figure(panels))


def test_svg_is_in_the_pictures_pixels_and_names_are_text() -> None:
    panel = Panel(np.zeros((30, 40, 3)), (Mark((5, 10, 25, 20), FALSE_ALARM, '<script>"x'),))
    text = svg_boxes(panel, 320)
    assert '<rect x="5.00" y="10.00" width="20.00" height="10.00" fill="none" stroke="#ff7a33"' in text
    assert 'stroke-dasharray="5 3"' in text
    assert "<title>false alarm: &lt;script&gt;&#34;x</title>" in text
    assert ">&lt;script&gt;&#34;x</text>" in text
    assert "<script" not in text
    many = Panel(panel.levels, panel.marks * 26)
    assert "</text>" not in svg_boxes(many, 320)  # they would hide the picture
    assert svg_boxes(many, 320).count("<title>") == 26
    assert 'stroke-dasharray="1.5 2.5"' in svg_sample(MISSED)
