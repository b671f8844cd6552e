"""Landmarks from the command line: a run is trained, applied, scored and opened again, in 2D and 3D."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from landmark_sets import NAMES, SHAPE, pictures, spots, volumes
from PIL import Image

import saccade
from saccade.cli.main import main
from saccade.data.landmarks.markups import read_markups
from saccade.errors import InputError
from saccade.landmarks import LandmarkCRF
from saccade.tasks.landmarks.output import find_images, predict_landmarks

SETTINGS = {
    "network.channels": "[6,12,12]", "training.epochs": 24, "training.batch_size": 4, "training.steps_per_epoch": 5,
    "training.validate_every": 12, "training.learning_rate": 1e-2, "training.precision": "32-true",
    "training.loggers": "[csv]", "training.weight_averaging": 0.8, "augmentation.probability": 0,
    "training.tuning_part": 0.3, "inference.hypotheses": 4,
}  # fmt: skip


def train(data: Path, out: Path, *more: str) -> int:
    words = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = ["train", "rib-crf", "--data", str(data), "--out", str(out), "--preset", "tiny"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        return main([*command, *words, *more])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("spots") / "set", 16, missing=(3, "middle"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("spots") / "run"
    assert train(data, out, "--folds", "4") == 0
    return out


def test_a_run_learns_and_keeps_its_crf(run) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "model.safetensors", "crf.json", "summary.json", "splits.json", "metrics.csv"} <= names
    summary = json.loads((run / "summary.json").read_text())
    assert summary["localised"] == 1.0  # within 10 pixels
    assert summary["mean_error"] < 1.5
    crf = LandmarkCRF.from_dict(json.loads((run / "crf.json").read_text()))
    assert crf.names == NAMES
    assert crf.misses
    assert len(crf.edges) >= 2
    metrics = json.loads((run / "validation/metrics.json").read_text())
    assert metrics["summary"]["localised"]["value"] == summary["localised"]
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert float(rows[-1]["val_localised"]) > 0.7


def test_a_run_is_opened_and_applied_to_files_and_arrays(run, data) -> None:
    predictor = saccade.load(run)
    image, places = spots(77)
    found = predictor.predict(image)
    assert found.names == NAMES
    assert found.points == pytest.approx(places[:, ::-1] + 0.5, abs=2.0)
    assert found.size == (SHAPE[1], SHAPE[0])
    assert all(0 <= score <= 1 for score in found.scores)
    Image.fromarray(image).save(run / "one.png")
    assert predictor.predict(run / "one.png").points == pytest.approx(found.points)
    (run / "one.png").unlink()
    with pytest.raises(InputError, match=r"an array must have 2 axes and at most one for channels, got \(4,\)"):
        predictor.predict(np.zeros(4))


def test_the_ways_to_choose(run) -> None:
    image, _ = spots(78)
    said = {how: saccade.load(run).with_inference({"crf": how}).predict(image) for how in ("none", "map", "refine")}
    assert said["none"].labels == ("maximum",) * 3
    assert all(label.startswith(("hypothesis", "missing")) for label in said["map"].labels)
    assert all(label.startswith(("hypothesis", "refined", "missing")) for label in said["refine"].labels)


def test_a_hidden_spot_is_found_by_its_neighbours(run) -> None:
    predictor = saccade.load(run)
    image, places = spots(79)
    row, column = places[1]
    image[row - 4 : row + 5, column - 4 : column + 5] = 60  # no hypothesis is left there
    x, placement, _ = predictor.prepared(image)
    (maps,) = predictor.heat(x[None])
    maps[1] = 0.01
    maps[1, 2, 2] = 0.2  # and a wrong one elsewhere
    crf = predictor.crf
    assert crf is not None
    found = predictor.locate(predictor.heated(maps, placement))
    plain = predictor.with_inference({"crf": "none"}).locate(predictor.heated(maps, placement))
    truth = np.array([column, row]) + 0.5
    assert np.linalg.norm(plain.points[1] - truth) > 8
    if found.labels[1] != "missing":
        assert np.linalg.norm(found.points[1] - truth) < 4


def test_predictions_from_the_command_line(run, data, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(run), str(data), "--out", str(out), "--pictures"]) == 0
    rows = list(csv.DictReader((out / "points.csv").open()))
    assert len(rows) == 16 * 3
    assert list(rows[0]) == ["case", "name", "x", "y", "score", "label"]
    content = json.loads((out / "points.json").read_text())
    assert content["format"] == "saccade-landmarks"
    assert content["cases"]["p0"]["size"] == [SHAPE[1], SHAPE[0]]
    with Image.open(out / "pictures/p0.png") as picture:
        assert picture.size[0] > 200
    for predictions in (out, out / "points.csv", out / "points.json"):
        metrics = tmp_path / "metrics.json"
        assert main(["evaluate", str(predictions), str(data), "--out", str(metrics), "--tolerance", "3"]) == 0
        assert json.loads(metrics.read_text())["summary"]["localised"]["value"] > 0.8
    before = (out / "points.json").read_bytes()
    capsys.readouterr()
    assert main(["predict", str(run), str(data), "--out", str(out)]) == 0
    assert (out / "points.json").read_bytes() == before


def test_what_was_done_before_is_not_done_again(run, data, tmp_path) -> None:
    predictor, inputs, lines = saccade.load(run), find_images([data]), []
    predict_landmarks(predictor, inputs[:5], tmp_path / "out")
    predict_landmarks(predictor, inputs, tmp_path / "out", say=lines.append)
    assert lines == ["5 of 16 images: finished before, skipped; --overwrite does them again"]
    lines.clear()
    other = predictor.with_inference({"crf": "none"})
    predict_landmarks(other, inputs, tmp_path / "out", say=lines.append)
    assert lines == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--voc"], "predict: --voc is for detections, this run is a landmark run."),
        (
            ["--ensemble", "RUN"],
            "predict: --ensemble is for segmentations and classifications, this run is one of landmarks.",
        ),
    ],
)
def test_wishes_that_landmarks_do_not_have(run, data, tmp_path, words, message, capsys) -> None:
    words = [str(run) if word == "RUN" else word for word in words]
    assert main(["predict", str(run), str(data), "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_compare_says_what_to_use_instead(data, tmp_path, capsys) -> None:
    assert main(["compare", "rib-crf", "--data", str(data), "--out", str(tmp_path / "study")]) == 2
    assert "compare two sets of predictions with saccade evaluate --against." in capsys.readouterr().err


def test_a_damaged_crf_is_one_line(run, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "crf.json").write_text('{"names": ["top", "middle", "bottom"]}')
    with pytest.raises(InputError, match=r"crf\.json: must be a CRF as training wrote it, but is not \('kinds'\)"):
        saccade.load(copy)


def test_volumes(tmp_path) -> None:
    data = volumes(tmp_path / "set", 8)
    short = {"channels=[4,8]": "network", "epochs=2": "training", "validate_every=2": "training",
             "steps_per_epoch=3": "training", "tuning_part=0": "training"}  # fmt: skip
    more = [word for setting, section in short.items() for word in ("--set", f"{section}.{setting}")]
    assert train(data, tmp_path / "run", "--folds", "4", *more) == 0
    predictor = saccade.load(tmp_path / "run")
    assert predictor.config.data.size == (41, 13, 22)
    found = predictor.predict(data / "v0.nii.gz")
    again = predictor.predict(saccade.read_volume(data / "v0.nii.gz"))
    assert found.points == pytest.approx(again.points, nan_ok=True)
    assert found.points.shape == (3, 3)
    assert found.size is None
    assert (
        main(["predict", str(tmp_path / "run"), str(data / "v0.nii.gz"), "--out", str(tmp_path / "o"), "--pictures"])
        == 0
    )
    assert (tmp_path / "o/pictures/v0.png").stat().st_size > 1000
    header = (tmp_path / "o/points.csv").read_text().splitlines()[0]
    assert header == "case,name,x,y,z,score,label"
    of_slicer = read_markups(tmp_path / "o/markups/v0.mrk.json")
    assert {name: pytest.approx(point) for name, point in found.as_dict().items()} == of_slicer


def test_the_report_shows_the_images_and_all_predictions_on_one(run, data, capsys) -> None:
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "All predictions on one image" in page
    assert "Images, worst first" in page
    assert page.count("data:image/jpeg") == 5  # four held-out images, and all on one
    assert "3 of 3 localised" in page
    assert "chain error" in page
    assert "http" not in page.replace("http-equiv", "")
    assert main(["report", str(run), "--cases", "1", "--out", str(run / "short.html")]) == 0
    assert (run / "short.html").read_text(encoding="utf-8").count("data:image/jpeg") == 2
    assert main(["report", str(run), "--max-megabytes", "5"]) == 2
    (run / "report.html").unlink()
    (run / "short.html").unlink()


def test_maps_of_what_made_a_landmark(run, data, tmp_path, capsys) -> None:
    picture = data / "images/p0.png"
    words = ["explain", str(run), str(picture), "--out", str(tmp_path)]
    assert main([*words, "--target", "top", "--method", "input_gradient", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    _, places = spots(0)
    assert np.abs(np.array(record["peak_voxel"][:2]) - places[0]).max() <= 6
    assert record["target"] == "top"
    assert 0 < record["said"] <= 1
    assert main([*words, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [one["target"] for one in records] == list(NAMES)
    assert {one["layer"] for one in records} == {"bottom"}
    assert main([*words, "--method", "attention_maps", "--json"]) == 0
    (heat,) = json.loads(capsys.readouterr().out)
    assert min(np.abs(np.array(heat["peak_voxel"][:2]) - place).max() for place in places) <= 2
    assert main([*words, "--target", "tail"]) == 2
    assert "explain: unknown target 'tail'" in capsys.readouterr().err
    assert main([*words, "--top", "2"]) == 2
    assert "explain: --top has no meaning for landmarks; choose them with --target." in capsys.readouterr().err
