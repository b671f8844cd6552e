"""The page of a classification or regression: complete in itself, worst errors first, everything escaped."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from image_sets import graded, picture, save, train
from PIL import Image

from saccade.cli.main import main
from saccade.report.illustration import Illustration
from saccade.report.target_report import draw_result

pytestmark = pytest.mark.usefixtures("short_check")


def page_of(run) -> str:
    assert main(["report", str(run)]) == 0
    return (run / "report.html").read_text("utf-8")


def test_the_page_of_a_run(classified, tmp_path) -> None:
    run = shutil.copytree(classified, tmp_path / "run")
    page = page_of(run)
    metrics = json.loads((run / "validation/metrics.json").read_text("utf-8"))
    worst = sorted(metrics["cases"], key=lambda id: -metrics["cases"][id]["loss"])
    assert re.findall(r"<figcaption><b>([^<]+)</b>", page) == worst
    assert page.count('src="data:image/jpeg;base64,') == len(worst)
    assert f"<b>{metrics['summary']['balanced_accuracy']['value']:.3f}</b>" in page
    for name in ("Confusion", "ROC", "Calibration", "AUROC", "Training", "config.yaml", "Splits and file hashes"):
        assert name in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)  # it loads nothing
    assert "<script" not in page
    assert main(["report", str(run), "--cases", "2"]) == 0
    assert (run / "report.html").read_text("utf-8").count("<figcaption><b>") == 2


def test_names_from_files_are_only_text(tmp_path) -> None:
    root = tmp_path / "set"
    for number in range(6):
        save(root / "<script>alert(1)" / f"{number}.png", picture(number, True))
        save(root / 'b" onload="x' / f"{number}.png", picture(number + 50, False))
    assert train(root, tmp_path / "run", "--folds", "2", "--set", "training.epochs=1") == 0
    page = page_of(tmp_path / "run")
    assert "<script" not in page
    assert 'onload="x' not in page.replace("&#34;", "&quot;")
    assert "&lt;script&gt;alert(1)" in page


def test_attention_is_beside_the_image_and_a_regression_has_its_numbers(tmp_path) -> None:
    root = graded(tmp_path / "set", 12, age=lambda level: 20.5 + 10 * level)
    attending = ("--set", "network.reduction=2", "--set", "training.epochs=1", "--folds", "2")
    assert train(root, tmp_path / "run", *attending, system="cbam-resnet") == 0
    page = page_of(tmp_path / "run")
    assert page.count('alt="Attention of ') == 6
    assert "truth: age " in page
    assert "Rank correlation" in page
    assert "Confusion" not in page


def test_what_is_gone_is_named_and_what_is_damaged_is_refused(classified, animals, tmp_path, capfd) -> None:
    run = shutil.copytree(classified, tmp_path / "run")
    (run / "summary.json").unlink()
    text = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(text.replace(str(animals), str(tmp_path / "moved")))
    page = page_of(run)
    assert "run/summary.json is missing." in page
    assert f"Images: {tmp_path}/moved: there is no such file or folder." in page
    (run / "validation/metrics.json").write_text('{"kind": "classes", "cases": {"a": 3}}')
    capfd.readouterr()
    assert main(["report", str(run)]) == 2
    assert "metrics.json must be as training wrote it, but is not (" in capfd.readouterr().err


def test_curves_lie_where_their_numbers_say() -> None:
    result = {
        "kind": "classes",
        "roc": {"a": [(0, 0), (1, 1)], "b": [(0, 0), (0, 0.5), (1, 1)]},
        "per_class": {"a": {"auroc": 0.5}, "b": {"auroc": 0.75}},
        "calibration": [{"n": 1, "confidence": 0.5, "accuracy": 0.25}],
    }
    (roc, _), (calibration, _) = draw_result(result)
    assert [line.name for line in roc.lines] == ["b (AUROC 0.750)"]  # that of a is the same from the other end
    # a chart of 380 x 220 with 46, 10, 10 and 34 around the field of 324 x 176
    assert roc.lines[0].points == [(46, 186), (46, 98), (370, 10)]
    assert calibration.lines[0].points == [(208, 142)]


OVERLAY = '<rect x="1" y="2" width="3" height="4"><animate attributeName="x" values="1;5" dur="1s"/></rect>'


def test_how_the_network_decided_is_on_the_card(classified, tmp_path, monkeypatch) -> None:
    run = shutil.copytree(classified, tmp_path / "run")
    seen = []

    def illustrate(network, x) -> list[Illustration]:
        seen.append(network(x).shape)
        grey = np.full((6, 10), 77, np.uint8)
        wide = np.zeros((100, 1000, 3), np.uint8)
        return [Illustration("<b>first</b>", grey, OVERLAY), Illustration("second", wide)]

    monkeypatch.setattr("saccade.systems.resnet.illustrate", illustrate, raising=False)
    page = page_of(run)
    cards = page.count("<figcaption><b>")
    assert seen == [(1, 2)] * cards  # each image by itself
    assert page.count(f"{OVERLAY}</svg><br>&lt;b&gt;first&lt;/b&gt;</div>") == cards
    assert page.count('<svg viewBox="0 0 10 6" width="224" height="134"') == cards
    assert page.count('<svg viewBox="0 0 1000 100" width="224" height="22"') == cards
    sources = re.findall(r'<image href="data:image/png;base64,([^"]+)"', page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(source))).size for source in sources[:2]]
    assert sizes == [(10, 6), (448, 45)]  # as it is, and no finer than a screen shows it
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page


def test_an_illustration_that_fails_is_named_once_and_the_page_is_there(classified, tmp_path, monkeypatch) -> None:
    def illustrate(network, x) -> list[Illustration]:
        raise KeyError("<no map>")

    monkeypatch.setattr("saccade.systems.resnet.illustrate", illustrate, raising=False)
    run = shutil.copytree(classified, tmp_path / "run")
    page = page_of(run)
    assert page.count("How the network decided: KeyError: &#39;&lt;no map&gt;&#39;") == 1
    assert 'class="illustrations"' not in page
    assert page.count('src="data:image/jpeg;base64,') == page.count("<figcaption><b>")
