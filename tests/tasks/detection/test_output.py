"""`saccade predict` of detections: files, resumed work, pictures, and one line for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from box_sets import COLUMNS, ROWS, TRUTH, make_table
from fake_detector import FakeDetector
from PIL import Image

from saccade.cli.main import main
from saccade.data.detection.convert import convert_boxes
from saccade.data.detection.layouts import find_box_dataset
from saccade.data.detection.voc import read_voc_objects
from saccade.errors import RunError
from saccade.tasks.detection import output
from saccade.tasks.detection.output import find_scenes, predict_scenes


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_table(tmp_path / "set")


@pytest.fixture
def detector(monkeypatch) -> FakeDetector:
    fake = FakeDetector()
    monkeypatch.setattr("saccade.runs.load", lambda *_, **__: fake)
    return fake


def predict(*arguments: object) -> int:
    return main(["predict", "RUN", *map(str, arguments)])


def read(out: Path) -> dict:
    return json.loads((out / "predictions.json").read_text("utf-8"))


def test_files_of_pictures(folder, detector, tmp_path, capfd) -> None:
    out = tmp_path / "out"
    assert predict(folder, "--out", out, "--voc", "--pictures") == 0
    assert capfd.readouterr().out == f"{out}/predictions.json\n"
    said = read(out)
    assert (said["format"], said["version"], said["classes"]) == ("saccade-detections", 1, ["red", "white"])
    assert said["scenes"]["a"]["image"] == str(folder / "a.png")
    assert said["scenes"]["a"]["size"] == [COLUMNS, ROWS]
    # both objects of a are bright; the larger is 18 of 40 pixels long
    assert said["scenes"]["a"]["objects"] == [
        {"name": "red", "score": 0.45, "box": [20, 10, 36, 28]},
        {"name": "red", "score": 0.25, "box": [2, 3, 12, 11]},
    ]
    assert said["scenes"]["c"]["objects"] == []
    first = read_voc_objects(out / "Annotations/a.xml")[0]
    assert (first.box, first.name, first.more["score"]) == ((20, 10, 36, 28), "red", "0.45")
    assert read_voc_objects(out / "Annotations/c.xml") == ()
    picture = np.asarray(Image.open(out / "pictures/a.png").convert("RGB"))
    green = (np.abs(picture.astype(int) - [0x2E, 0xCC, 0x8F]) < 12).all(-1)
    assert green.sum() > 200
    assert tiny.files(out) == {"predictions.json"} | {f"{a}/{id}.{b}" for id in TRUTH for a, b in
                                                      (("Annotations", "xml"), ("pictures", "png"))}  # fmt: skip
    assert main(["evaluate", str(out), str(folder), "--out", str(tmp_path / "m.json")]) == 0
    assert main(["evaluate", str(out / "Annotations"), str(folder), "--out", str(tmp_path / "n.json")]) == 0
    assert (tmp_path / "m.json").read_text() == (tmp_path / "n.json").read_text()


def test_what_is_finished_is_skipped_and_what_changed_is_done_again(folder, detector, tmp_path, capfd) -> None:
    out = tmp_path / "out"
    assert predict(folder, "--out", out) == 0
    before = read(out)
    assert predict(folder, "--out", out, "--voc") == 0  # made from what is there
    assert detector.seen == ["a.png", "b.png", "c.png"]
    assert len(list((out / "Annotations").iterdir())) == 3
    assert "3 of 3 images: finished before, skipped; --overwrite does them again" in capfd.readouterr().err
    detector.seen.clear()
    Image.fromarray(np.zeros((ROWS, COLUMNS), np.uint8)).save(folder / "b.png")
    assert predict(folder, "--out", out, "--voc") == 0
    assert detector.seen == ["b.png"]
    assert read(out)["scenes"]["b"]["objects"] == []
    assert read_voc_objects(out / "Annotations/b.xml") == ()
    assert read(out)["scenes"]["a"] == before["scenes"]["a"]
    detector.seen.clear()
    assert predict(folder, "--out", out, "--min-score", "0.3") == 0  # other settings: all again
    assert [item["score"] for item in read(out)["scenes"]["a"]["objects"]] == [0.45]
    assert predict(folder, "--out", out, "--min-score", "0.3", "--overwrite") == 0
    assert len(detector.seen) == 6
    (out / "predictions.json").write_text('{"format": ')
    assert predict(folder, "--out", out) == 0
    assert read(out)["scenes"] == {**before["scenes"], "b": read(out)["scenes"]["b"]}


def test_what_was_done_is_kept_when_it_fails(folder, tmp_path) -> None:
    class Failing(FakeDetector):
        def predict_all(self, images):
            for number, said in enumerate(super().predict_all(images)):
                if number == 1:
                    raise RunError("lost")
                yield said

    with pytest.raises(RunError, match="lost"):
        predict_scenes(Failing(), find_scenes([folder]), tmp_path / "out")
    assert list(read(tmp_path / "out")["scenes"]) == ["a"]
    assert tiny.files(tmp_path / "out") == {"predictions.json"}
    with pytest.raises(RunError):
        predict_scenes(Failing(weights=1.0), find_scenes([folder / "b.png", folder / "a.png"]), tmp_path / "new")
    again = FakeDetector()
    predict_scenes(again, find_scenes([folder]), tmp_path / "out")
    assert again.seen == ["b.png", "c.png"]


def test_volumes_have_boxes_in_mm_and_pictures_through_them(detector, tmp_path) -> None:
    scan = np.zeros((20, 24, 10), np.float32)
    scan[3:9, 10:15, 2:6] = 255
    tiny.save(
        tmp_path / "scans/one.nii.gz", scan, np.array([[-2.0, 0, 0, 5], [0, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    )
    assert predict(tmp_path / "scans", "--out", tmp_path / "out", "--pictures") == 0
    scene = read(tmp_path / "out")["scenes"]["one"]
    assert scene["size"] is None
    # world: x = 5 - 2 i of voxel centres, so that voxels 3 to 8 reach from 5 - 17 to 5 - 5
    assert scene["objects"][0]["box"] == pytest.approx([-12, 9.5, 4.5, 0, 14.5, 16.5])
    assert (tmp_path / "out/pictures/one.png").stat().st_size > 1000
    assert main(["predict", "RUN", str(tmp_path / "scans"), "--out", str(tmp_path / "voc"), "--voc"]) == 2
    assert not (tmp_path / "voc").exists()


def test_inputs_of_every_kind(folder, tmp_path, capfd) -> None:
    convert_boxes(find_box_dataset(folder), tmp_path / "voc", "voc")
    convert_boxes(find_box_dataset(folder), tmp_path / "coco", "coco")
    for place in (tmp_path / "voc", tmp_path / "coco", folder, folder / "boxes.csv"):
        scenes = find_scenes([place])
        assert [scene.id for scene in scenes] == ["a", "b", "c"]
        assert not any(scene.objects for scene in scenes)
    assert [scene.id for scene in find_scenes([tmp_path / "voc/JPEGImages", tmp_path / "voc"][:1])] == ["a", "b", "c"]
    assert [scene.id for scene in find_scenes([folder / "b.png"])] == ["b"]
    (folder / "c.png").unlink()
    for arguments, expected in (
        ([folder], "missing file"),
        ([folder / "a.png", tmp_path / "voc"], "each image must have a name of its own, 2 are called a."),
        ([tmp_path / "nowhere"], "nowhere"),
    ):
        with pytest.raises(output.InputError, match=expected):
            find_scenes(arguments)


def test_options_of_other_tasks_are_refused_in_a_line(folder, detector, tmp_path, capfd) -> None:
    for words, expected in (
        (["--attention"], "predict: --attention is for segmentations and classifications, this run is a detection."),
        (["--vectors"], "predict: --vectors is for classifications, this run is a detection."),
        (["--mirror", "0"], "predict: --mirror is for segmentations and classifications, this run is a detection."),
        (["--max-memory", "4GB"], "predict: --max-memory is for segmentations, this run is a detection."),
        (["--ensemble", "x"], "predict: --ensemble is for segmentations and classifications, this run is a detection."),
    ):
        assert predict(folder, "--out", tmp_path / "out", *words) == 2
        assert capfd.readouterr().err == f"saccade: {expected}\n"
    assert predict(folder, "--out", tmp_path / "out", "--min-score", "7") == 2
    assert "inference.score" in capfd.readouterr().err
