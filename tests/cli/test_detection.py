"""A trained detector from the command line: detect, score, report, explain."""

import json
import shutil

import nibabel as nib
import numpy as np

from saccade.cli.main import main
from saccade.data.detection.layouts import find_box_dataset
from saccade.data.detection.voc import read_voc_objects


def test_detect_score_report_and_explain(detected, boxed, tmp_path, capfd) -> None:
    found, scores = tmp_path / "found", tmp_path / "scores.json"
    assert main(["predict", str(detected), str(boxed), "--out", str(found), "--voc", "--pictures"]) == 0
    assert main(["evaluate", str(found), str(boxed), "--out", str(scores), "--against", str(found)]) == 0
    result = json.loads(scores.read_text("utf-8"))
    assert result["summary"]["ap50"]["value"] > 0.3  # it has seen most of them
    assert result["against"]["scores"]["ap50"]["difference"] == 0
    said = json.loads((found / "predictions.json").read_text("utf-8"))["scenes"]
    assert len(list((found / "pictures").iterdir())) == len(said) == 8
    surest = said["p01"]["objects"][0]
    assert np.allclose(read_voc_objects(found / "Annotations/p01.xml")[0].box, surest["box"])

    out = tmp_path / "maps"
    assert main(["explain", str(detected), str(boxed / "p01.png"), "--out", str(out)]) == 0
    (record,) = json.loads((out / "explanations.json").read_text("utf-8"))
    assert record["target"] == f"{surest['name']} 1"
    assert np.allclose(record["detection"], surest["box"])
    assert record["layer"].startswith("backbone.layer")
    assert nib.load(record["map"]).shape == (64, 96, 1)


def test_the_scores_of_a_run_are_those_of_its_detections_and_its_page_has_them(detected, boxed, tmp_path) -> None:
    scores = tmp_path / "scores.json"
    arguments = [str(detected / "validation"), str(boxed), "--missing", "skip", "--out", str(scores)]
    assert main(["evaluate", *arguments]) == 0
    own = json.loads((detected / "validation/metrics.json").read_text("utf-8"))
    assert json.loads(scores.read_text("utf-8"))["summary"] == own["summary"]
    run = shutil.copytree(detected, tmp_path / "run")
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text("utf-8")
    assert page.count("<figcaption><b>") == len(own["cases"])
    assert "Not in this report" not in page
    for scene in find_box_dataset(boxed).scenes:
        assert (f"<b>{scene.id}</b>" in page) == (scene.id in own["cases"])
