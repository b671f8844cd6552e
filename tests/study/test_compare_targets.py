"""`saccade compare` on classes and numbers: every case scored once, seeds averaged, arms compared case by case."""

import json

import numpy as np
import pytest
from fake_study import BOTH
from image_sets import class_folders, graded
from scipy import stats

from saccade.cli.main import main
from saccade.errors import InputError
from saccade.files import read_json
from saccade.study.compare import compare_systems

SYSTEMS = ["se-resnet", "resnet"]
SETTINGS = {
    "network": {"channels": [4, 8], "blocks": [1, 1]},
    "training": {"epochs": 2, "batch_size": 6, "precision": "32-true", "loggers": ["csv"], "learning_rate": 0.02},
}

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def study(tmp_path):
    def run(data, **wanted):
        out = tmp_path / "study"
        return out, compare_systems(
            SYSTEMS, data, out, **{"folds": 2, "preset": "tiny", "settings": SETTINGS, **wanted}
        )

    return run


def test_classes(tmp_path, study, capsys) -> None:
    data = class_folders(tmp_path / "set", 6)
    out, found = study(data)
    for arm in found["arms"].values():
        assert len(arm["cases"]) == 12
        assert arm["summary"]["accuracy"]["value"] == np.mean([case["correct"] for case in arm["cases"].values()])
        for run in arm["runs"]:
            split = read_json(out / "runs" / run / "splits.json")
            assert not set(split["train"]) & set(split["validation"])
            assert not (out / "runs" / run / "calibration.json").exists()  # it would be fitted to the test
    (pair,) = found["comparisons"]
    assert (pair["arm"], pair["against"], pair["cases"]) == ("se-resnet", "resnet", 12)
    one, two = ([case["loss"] for _, case in sorted(found["arms"][name]["cases"].items())] for name in SYSTEMS)
    loss = pair["scores"]["loss"]
    assert loss["difference"] == pytest.approx(np.mean(one) - np.mean(two))
    assert loss["p"] == pytest.approx(stats.wilcoxon(np.subtract(one, two)).pvalue)
    text = (out / "study.md").read_text("utf-8")
    assert "| Balanced accuracy |" in text
    assert "| se-resnet | resnet | correct | 12 |" in text
    before = (out / "runs" / found["arms"]["resnet"]["runs"][0] / "model.safetensors").stat().st_mtime_ns
    _, again = study(data)  # nothing is done twice
    assert json.dumps(again["comparisons"]) == json.dumps(found["comparisons"])
    after = (out / "runs" / found["arms"]["resnet"]["runs"][0] / "model.safetensors").stat().st_mtime_ns
    assert before == after
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    assert "Loss of each case" in page
    assert "cat/00" in page


def test_numbers_and_seeds(tmp_path, study) -> None:
    data = graded(tmp_path / "set", 8, age=lambda level: 20.5 + 10 * level)
    out, found = study(data, seeds=2)
    arm = found["arms"]["resnet"]
    assert len(arm["runs"]) == 4
    said: dict[str, list[float]] = {}
    for run in arm["runs"]:
        for id, case in read_json(out / "runs" / run / "validation" / "metrics.json")["cases"].items():
            said.setdefault(id, []).append(case["prediction"]["age"])
    for id, values in said.items():
        assert len(values) == 2
        assert arm["cases"][id]["prediction"]["age"] == pytest.approx(np.mean(values))
    assert set(found["comparisons"][0]["scores"]) == {"loss"}


def test_what_is_refused(tmp_path, study) -> None:
    data = class_folders(tmp_path / "set", 2)
    with pytest.raises(InputError) as error:
        compare_systems(["resnet", *BOTH], data, tmp_path / "o", preset="tiny")
    assert str(error.value) == (
        "compare: all systems must be of one task, got resnet (classification), attention-unet (segmentation), "
        "unet (segmentation)."
    )
    with pytest.raises(
        InputError, match=r"^compare: the held-out cases are the test and may choose nothing; leave cal"
    ):
        study(data, settings={"inference": {"calibrate": True}})
    with pytest.raises(InputError, match=r"^compare: --protocol ct82 is one of segmentations\.$"):
        study(data, folds=None, protocol="ct82")
    assert not (tmp_path / "study").exists()
