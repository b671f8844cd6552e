"""The page of a detection: complete in itself, images with the most errors first, everything escaped."""

import json
import re

import numpy as np
import tiny
from box_sets import make_run, make_table

from saccade.cli.main import main
from saccade.report.detection_report import draw_precision


def page_of(run, *more) -> str:
    assert main(["report", str(run), *more]) == 0
    return (run / "report.html").read_text("utf-8")


def test_the_page_of_a_run(tmp_path) -> None:
    run = make_run(tmp_path / "run", make_table(tmp_path / "set"))
    page = page_of(run)
    # from 0.8 on: in a the red one is missed; b and c are right
    assert re.findall(r"<figcaption><b>([^<]+)</b>", page) == ["a", "b", "c"]
    assert "1 of 2 objects found, 1 missed</span>" in page
    assert "0 of 0 objects found</span>" in page
    assert page.count('<figure class="wrong">') == 1
    assert page.count('<image href="data:image/jpeg;base64,') == 3
    cards = page.split('class="cards boxes"')[1].split("<h2>Training")[0]
    first, second, third = re.findall(r"<svg.*?</svg>", cards, re.DOTALL)
    assert first.startswith('<svg viewBox="0 0 40 30.0" width="378" height="284"')
    told = re.findall(r"<title>([^<]+)</title>", first)
    assert sorted(told) == ["hit: white 0.90", "missed object: red", "object"]
    assert '<rect x="2.00" y="3.00" width="10.00" height="8.00" fill="none" stroke="#f0e442"' in first
    assert "red 0.80</text>" in second
    assert first.count("<rect") == 2 * 3  # each with a dark rim
    assert "<rect" not in third  # what is less sure than the working point is not shown
    for name in ("AP50", "FROC", "Working point", "Precision and recall", "Training", "config.yaml", "missed object",
                 "false alarm", "red (AP50 0.500)", "at least 0.800"):  # fmt: skip
        assert name in page
    assert "<b>0.750</b>" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)  # it loads nothing
    assert "<script" not in page
    assert "confusion" not in page.split("</style>")[1].lower()
    assert page_of(run, "--cases", "1").count("<figcaption><b>") == 1


def test_names_from_files_are_only_text(tmp_path) -> None:
    evil = '<script>alert(1)</script>" onload="x'
    table = make_table(tmp_path / "set", {"a": [("NAME", [1.0, 2, 30, 20])]})
    rows = (table / "boxes.csv").read_text().replace("NAME", '"' + evil.replace('"', '""') + '"')
    (table / "boxes.csv").write_text(rows)
    run = make_run(tmp_path / "run", table, {"a": [(evil, 0.9, [1, 2, 30, 20]), (evil, 0.95, [30, 20, 40, 30])]})
    scenes = json.loads((run / "validation/predictions.json").read_text())
    scenes["scenes"]["a"]["objects"][0]["more"] = {"sentence": "<script>alert(2)"}
    (run / "validation/predictions.json").write_text(json.dumps(scenes))
    page = page_of(run)
    assert "<script" not in page
    assert 'onload="x' not in page.replace("&#34;", "&quot;")
    assert "&lt;script&gt;alert(1)" in page
    assert "sentence &lt;script&gt;alert(2)" in page


def test_slices_of_volumes_are_shown_as_wide_as_they_are_in_space(tmp_path) -> None:
    scan = np.zeros((12, 20, 8), np.float32)
    scan[3:9, 10:15, 2:6] = 1
    tiny.save(tmp_path / "set/v.nii.gz", scan, np.diag([2.0, 1.0, 3.0, 1.0]))
    (tmp_path / "set/boxes.csv").write_text("image,x1,y1,z1,x2,y2,z2,class\nv.nii.gz,5,9.5,4.5,17,14.5,16.5,brick\n")
    run = make_run(tmp_path / "run", tmp_path / "set", {"v": [("brick", 0.7, [5, 9.5, 4.5, 17, 14.5, 16.5])]})
    page = page_of(run)
    assert "axial slice 5 of 8" in page
    # 12 voxels of 2 mm across, 20 of 1 mm down: 12 x 10 in columns
    assert '<svg viewBox="0 0 12 10.0" width="378" height="315"' in page
    # voxels 3 to 8 and 10 to 14, both axes turned round
    assert '<rect x="3.00" y="2.50" width="6.00" height="2.50"' in page


def test_what_is_gone_is_named_and_what_is_damaged_is_refused(tmp_path, capfd) -> None:
    table = make_table(tmp_path / "set")
    run = make_run(tmp_path / "run", table)
    (table / "b.png").write_bytes(b"no picture")
    assert "The image is not to be found or read for: b." in page_of(run)
    (run / "validation/predictions.json").unlink()
    assert "Images: " in page_of(run)
    table.rename(tmp_path / "moved")
    page = page_of(run)
    assert f"Images: {table}: there is no such file or folder." in page
    assert page.count("no image</span>") == 3
    capfd.readouterr()
    assert main(["report", str(run), "--max-megabytes", "3"]) == 2
    expected = "saccade: report: --max-megabytes is for scans, this run is a detection. Use --cases.\n"
    assert capfd.readouterr().err == expected
    (run / "validation/metrics.json").write_text('{"summary": {}, "cases": {"a": 3}}')
    assert main(["report", str(run)]) == 2
    assert "metrics.json must be as training wrote it, but is not (" in capfd.readouterr().err
    (run / "validation/metrics.json").unlink()
    assert "metrics.json is missing." in page_of(run)


def test_a_curve_lies_where_its_numbers_say() -> None:
    found = {"ap50": {"value": 0.5}}
    result = {"curves": {"red": [(0.5, 1.0), (1.0, 0.5)], "none": []}, "summary": {"per_class": {"red": found}}}
    ((chart, axis),) = draw_precision(result)
    assert axis == "recall"
    (line,) = chart.lines
    # a chart of 380 x 220 with 46, 10, 10 and 34 around the field of 324 x 176
    assert line.points == [(46, 10), (208, 10), (370, 98)]
    assert line.name == "red (AP50 0.500)"
