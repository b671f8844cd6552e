"""`saccade evaluate` of detections: figures worked by hand, the same from every layout, one line for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from box_sets import FOUND, make_table, write_ours

from saccade.cli.main import main
from saccade.data.detection.convert import convert_boxes
from saccade.data.detection.layouts import find_box_dataset
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.files import from_json, to_json


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("boxes") / "set")


@pytest.fixture
def ours(tmp_path) -> Path:
    return write_ours(tmp_path / "said/predictions.json")


def scores(*arguments: object, out: Path) -> dict:
    assert main(["evaluate", *map(str, arguments), "--out", str(out)]) == 0
    return json.loads(out.read_text("utf-8"))


def refusal(capfd, *arguments: object) -> str:
    capfd.readouterr()
    assert main(["evaluate", *map(str, arguments), "--out", "never.json"]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("saccade: ").rstrip("\n")


def test_figures_by_hand(table, ours, tmp_path, capfd) -> None:
    result = scores(ours, table, "--csv", tmp_path / "t.csv", "--markdown", tmp_path / "t.md", out=tmp_path / "m.json")
    summary = result["summary"]
    # white: its object first, then an alarm: 1; red: hit at 0.8 (overlap 170 / 200), alarm, one of two found: 1 / 2
    assert summary["per_class"]["white"]["ap50"]["value"] == 1
    assert summary["per_class"]["red"]["ap50"]["value"] == 0.5
    assert summary["ap50"] == {"value": 0.75, "low": None, "high": None}  # three images say nothing of others
    # the red overlap of 0.85 is reached at 0.5 to 0.85, 8 of 10 overlaps: precision 1 up to recall 0.5, 51 of 101
    assert summary["per_class"]["red"]["ap"]["value"] == pytest.approx(0.8 * 51 / 101)
    assert summary["ap"]["value"] == pytest.approx((1 + 0.8 * 51 / 101) / 2)
    # best from 0.8 on: 2 hits, no alarm, 3 objects
    assert result["working_point"] == {
        "score": 0.8, "precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8),
    }  # fmt: skip
    assert result["cases"]["a"] == {"objects": 2, "hits": 1, "missed": 1, "false_positives": 0}
    assert result["cases"]["c"] == {"objects": 0, "hits": 0, "missed": 0, "false_positives": 0}
    assert result["curves"] == {"red": [[0.5, 1.0]], "white": [[1.0, 1.0]]}
    shown = capfd.readouterr().out
    for part in ("AP50", "0.750", "class by class", "FROC", "working point", "white"):
        assert part in shown
    assert (tmp_path / "t.csv").read_text().startswith("class,score,value,low,high\n,ap50,0.75,,\n")
    assert "| red | 2 | 0.500 | - |" in (tmp_path / "t.md").read_text()


def test_every_layout_of_predictions_and_truth_gives_the_same(table, ours, tmp_path) -> None:
    expected = scores(ours, table, out=tmp_path / "1.json")
    convert_boxes(find_box_dataset(table), tmp_path / "voc", "voc")
    convert_boxes(find_box_dataset(table), tmp_path / "coco", "coco")
    assert scores(ours.parent, tmp_path / "voc", out=tmp_path / "2.json") == expected
    assert scores(ours, tmp_path / "coco", out=tmp_path / "3.json") == expected
    xml = tmp_path / "xml"
    xml.mkdir()
    for id, rows in FOUND.items():  # VOC counts pixels from 1
        objects = "".join(
            f"<object><name>{name}</name><score>{score}</score><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for name, score, (x1, y1, x2, y2) in rows
        )
        (xml / f"{id}.xml").write_text(f"<annotation>{objects}</annotation>")
    assert scores(xml, table, out=tmp_path / "4.json") == expected
    truth = json.loads((tmp_path / "coco/annotations.json").read_text())
    images = {item["file_name"].split(".")[0]: item["id"] for item in truth["images"]}
    classes = {item["name"]: item["id"] for item in truth["categories"]}
    results = [
        {
            "image_id": images[id],
            "category_id": classes[name],
            "score": score,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        for id, rows in FOUND.items()
        for name, score, (x1, y1, x2, y2) in rows
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert scores(tmp_path / "results.json", tmp_path / "coco", out=tmp_path / "5.json") == expected
    (tmp_path / "none.json").write_text("[]")  # these name no images in which nothing was found
    assert scores(tmp_path / "none.json", tmp_path / "coco", out=tmp_path / "6.json")["summary"]["ap50"]["value"] == 0


def test_missing_images_are_refused_left_out_or_empty(table, tmp_path, capfd) -> None:
    part = write_ours(tmp_path / "p.json", {"a": FOUND["a"], "elsewhere": []})
    expected = "must have an entry for every image, has none for b, c. --missing skip leaves them out."
    assert refusal(capfd, part, table) == f"{part}: {expected}"
    skipped = scores(part, table, "--missing", "skip", out=tmp_path / "m.json")
    assert list(skipped["cases"]) == ["a"]
    assert skipped["summary"]["per_class"]["red"]["n"] == 1
    told = capfd.readouterr().err
    assert "no prediction for 2 image(s): left out" in told
    assert "no truth for 1 image(s): left out" in told
    worst = scores(part, table, "--missing", "worst", out=tmp_path / "m.json")
    assert worst["summary"]["per_class"]["red"]["n"] == 2
    assert worst["cases"]["b"]["missed"] == 1


def test_against_others(tmp_path, capfd) -> None:
    truth = {f"i{n}": [("red", [5.0, 5, 15, 15])] for n in range(12)}
    table = make_table(tmp_path / "set", truth)
    good = {id: [("red", 0.9, [5, 5, 15, 15])] for id in truth}
    poor = {id: (rows if n % 3 == 0 else []) for n, (id, rows) in enumerate(good.items())}
    ours = write_ours(tmp_path / "good.json", good, ("red",))
    other = write_ours(tmp_path / "poor.json", {k: v for k, v in poor.items() if k != "i0"}, ("red",))
    result = scores(ours, table, "--against", other, out=tmp_path / "m.json")["against"]
    assert (result["cases"], result["left_out"]) == (11, {"only_here": ["i0"], "only_there": []})
    pair = result["scores"]["ap50"]
    assert (pair["mean"], pair["mean_other"]) == (1, pytest.approx(3 / 11))
    assert pair["difference"] == pytest.approx(8 / 11)
    assert 0.4 < pair["low"] < pair["difference"] < pair["high"] <= 1
    assert "better" in capfd.readouterr().out
    same = scores(ours, table, "--against", ours, out=tmp_path / "m.json")["against"]["scores"]["ap50"]
    assert (same["low"], same["high"]) == (0, 0)
    assert "difference not shown: the interval includes zero" in capfd.readouterr().out


def test_classes_must_be_known_and_others_do_not_count(table, tmp_path, capfd) -> None:
    blind = write_ours(tmp_path / "p.json", classes=("white", "blue"))
    assert refusal(capfd, blind, table) == f"{blind}: must know the truth's class 'red', knows white, blue."
    more = {**FOUND, "c": [("blue", 0.9, [1.0, 1, 2, 2])]}
    result = scores(write_ours(tmp_path / "q.json", more, ("red", "white", "blue")), table, out=tmp_path / "m.json")
    assert set(result["summary"]["per_class"]) == {"red", "white"}
    assert "what the truth has no class for are left out: blue" in capfd.readouterr().err


def broken(tmp_path, **changes) -> Path:
    item = {"name": "red", "score": 0.5, "box": [1, 2, 3, 4], **changes}
    scene = {"image": "a.png", "size": None, "objects": [{k: v for k, v in item.items() if v is not None}]}
    content = {"format": "saccade-detections", "version": 1, "classes": ["red", "white"], "scenes": {"a": scene}}
    (tmp_path / "p.json").write_text(json.dumps(content))
    return tmp_path / "p.json"


def test_what_is_wrong_is_said_in_a_line(table, ours, tmp_path, capfd) -> None:
    where = f"{tmp_path}/p.json: a"
    number = "each object must have a score, and a box of four finite numbers, of volumes six."
    for change in ({"score": "high"}, {"box": [1, 2, 3]}, {"box": [1, 2, 3, float("nan")]}, {"box": "abcd"}):
        assert refusal(capfd, broken(tmp_path, **change), table) == f"{where}: {number}"
    reversed_ = refusal(capfd, broken(tmp_path, box=[3, 2, 1, 4]), table)
    assert reversed_ == f"{where}: a box must have its lower corner first, got (3, 2, 1, 4)."
    assert refusal(capfd, broken(tmp_path, name=None), table).startswith(
        f"{where}: must be as `saccade predict` writes"
    )
    deep = broken(tmp_path, box=[1, 2, 3, 4, 5, 6])
    (tmp_path / "only").mkdir()
    wrong = refusal(capfd, deep, make_table(tmp_path / "only", {"a": [("red", [1.0, 1, 9, 9])]}))
    assert wrong == "a: boxes must have 4 numbers, as the true ones, got 6."
    (tmp_path / "p.json").write_text('{"format": "saccade-detections", "version": 9}')
    assert "must have version 1, has 9. Update Saccade." in refusal(capfd, tmp_path / "p.json", table)
    (tmp_path / "p.json").write_text('{"some": "thing"}')
    assert "must be saccade-detections, as `saccade predict` writes" in refusal(capfd, tmp_path / "p.json", table)
    (tmp_path / "p.json").write_text("[")
    assert "cannot be read as JSON" in refusal(capfd, tmp_path / "p.json", table)
    (tmp_path / "p.json").write_text('[{"image_id": 77, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    assert "COCO's results name images by number, so that" in refusal(capfd, tmp_path / "p.json", table)
    convert_boxes(find_box_dataset(table), tmp_path / "coco", "coco")
    assert "entry 1: image_id 77 is not in" in refusal(capfd, tmp_path / "p.json", tmp_path / "coco")
    (tmp_path / "xml").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    (tmp_path / "xml/a.xml").write_text(f"<annotation><object><name>red</name>{box}</object></annotation>")
    assert "each object must have a score, how sure its detection is." in refusal(capfd, tmp_path / "xml", table)
    nowhere = write_ours(tmp_path / "n.json", {"x": []})
    assert "no image is in the truth; predicted are x, true are a, b, c." in refusal(capfd, nowhere, table)
    assert "--lesions is for label maps" in refusal(capfd, ours, table, "--lesions", "all")
    assert "--columns is for tables of predictions" in refusal(capfd, ours, table, "--columns", "age")


def test_what_is_written_is_read_as_it_was() -> None:
    more = ({"shape": "round", "sentence": "A <mass>."}, {"shape": "oval", "sentence": ""})
    said = Detections(np.array([[1.5, 2, 3, 4], [0, 0, 5, 1 / 3]]), np.array([0.9, 0.25]), ("x", "y"), more, (7, 5))
    again = from_json(json.loads(json.dumps(to_json("a.png", said))), "there")
    assert np.array_equal(again.boxes, said.boxes)
    assert np.array_equal(again.scores, said.scores)
    assert (again.names, again.more, again.size) == (said.names, said.more, said.size)
