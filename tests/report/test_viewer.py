"""What the viewer is told: names that end no element, colours that mean the same everywhere, room that is shared."""

import json

import numpy as np
import pytest

from saccade.explain.render import map_colours
from saccade.report.gather import gather
from saccade.report.viewer import build_viewer


def test_cases_and_volumes_belong_together(run):
    record = gather(run)
    viewer = build_viewer(record, None, 1e6)
    assert [entry["name"] for entry in viewer.entries] == ["bad", "middling", "good"]
    numbers = [
        number
        for entry in viewer.entries
        for number in (entry["image"], entry["truth"], entry["prediction"], entry["maps"][0]["volume"])
    ]
    assert numbers == list(range(12)) == list(range(len(viewer.volumes)))
    entry = viewer.entries[0]
    assert entry["spacing"] == pytest.approx([2, 2, 3])
    assert entry["organs"] == [
        {"name": "liver", "value": 1, "dice": 0.5, "at": (3, 5, 7)},
        {"name": "spleen", "value": 2, "dice": 0.25, "at": (7, 4, 5)},
    ]
    assert viewer.entries[1]["organs"][1]["dice"] is None


def test_no_name_ends_the_element(run):
    record = gather(run)
    record.labels[1] = "</script><!--<script>alert(1)//&"
    text = str(build_viewer(record, None, 1e6).json(record))
    assert not set("<>&") & set(text)
    assert json.loads(text)["names"]["1"] == "</script><!--<script>alert(1)//&"


def test_colours_of_a_gate_mean_the_same_in_every_case(fake, run):
    attention = run / "validation" / "attention"
    fake.save(attention / "bad_gate1.nii.gz", -np.ones(fake.SHAPE, np.float32))
    fake.save(attention / "good_gate1.nii.gz", 3 * np.eye(13, 17, dtype=np.float32)[None].repeat(11, 0))
    record = gather(run)
    viewer = build_viewer(record, None, 1e6)
    assert viewer.scales["gate1"].limits == (-3.0, 3.0)
    assert json.loads(viewer.json(record))["scales"]["gate1"]["limits"] == [-3, 3]
    assert [entry["maps"][0]["flat"] for entry in viewer.entries] == [True, False, False]


def test_colours_show_nothing_where_there_is_no_attention(run):
    viewer = build_viewer(gather(run), None, 1e6)
    colours = map_colours(viewer.scales["gate1"])
    assert colours[0, 3] == 0
    assert colours[255, 3] == 255
    assert (np.diff(colours[:, 3].astype(int)) >= 0).all()


def test_a_case_without_its_scan_takes_no_room(run):
    (run.parent / "data" / "images" / "bad.nii.gz").unlink()
    viewer = build_viewer(gather(run), None, 1e6)
    assert [entry["name"] for entry in viewer.entries] == ["middling", "good"]
    assert list(viewer.notices) == ["bad", "middling", "good"]
