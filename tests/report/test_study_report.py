"""The page of a study: its numbers, its boxes worked by hand, nothing that runs or is loaded."""

import re

import pytest
from fake_study import make_arm, make_study, write_study

from saccade.errors import InputError
from saccade.files import write_json
from saccade.report.study_report import draw_study, is_study, write_study_report

LEFT, WIDTH = 130, 560 - 130 - 16  # of a plot's frame; Dice runs from 0 to 1 over it
ARMS = {
    "attention-unet": make_arm({"liver": [0.1, 0.7, 0.8, 0.9, 0.8], "spleen": [0.5] * 5}),
    "unet": make_arm({"liver": [0.2] * 5, "spleen": [0.4] * 5}),
}


@pytest.fixture
def folder(tmp_path):
    return write_study(tmp_path / "study", make_study(ARMS, [("attention-unet", "unet")], notes=["40 cases."]))


def test_boxes_have_a_row_for_each_arm() -> None:
    mean, liver, spleen = draw_study(make_study(ARMS, []))
    assert [plot.title for plot in (mean, liver, spleen)] == ["Mean over organs", "liver", "spleen"]
    assert [row.name for row in liver.rows] == ["attention-unet", "unet"]
    row = liver.rows[0]  # sorted 0.1, 0.7, 0.8, 0.8, 0.9: quartiles 0.7, 0.8, 0.8
    for found, value in ((row.first_quartile, 0.7), (row.median, 0.8), (row.third_quartile, 0.8), (row.high, 0.9)):
        assert abs(found - (LEFT + WIDTH * value)) < 0.06
    assert sorted(point.text for point in mean.rows[0].points)[0] == "a: 0.3"  # (0.1 + 0.5) / 2


def test_the_page_has_the_numbers_and_loads_nothing(folder) -> None:
    page = write_study_report(folder)
    assert page == folder / "report.html"
    text = page.read_text(encoding="utf-8")
    for said in (
        "<td>0.660 ± 0.287</td>",
        "+0.280",
        "difference",
        "1,234,567",
        "40 cases.",
        "<h1>attention-unet, unet</h1>",
    ):
        assert said in text
    assert text.count('<circle class="point"') == 3 * 2 * 5
    assert "<script" not in text
    assert not re.search(r"(src|href)=|url\(|https?://", text)
    assert len(text) < 200_000


def test_names_from_files_are_harmless(tmp_path) -> None:
    bad = "<script>alert(1)</script>"
    arm = make_arm({bad: [0.5] * 5})
    arm["cases"] = {f"{bad}{case}": scores for case, scores in arm["cases"].items()}
    arm["extents"] = dict.fromkeys(arm["cases"], arm["extents"]["a"])
    study = make_study({bad: arm}, [], settings={"data": {"root": bad}}, notes=[bad])
    text = write_study_report(write_study(tmp_path / "study", study), tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_what_is_no_finished_study(folder, tmp_path) -> None:
    (folder / "study.json").unlink()
    with pytest.raises(InputError) as error:
        write_study_report(folder)
    assert str(error.value) == f"report: {folder} is a study that is not finished. Go on with the same saccade compare."
    write_json(folder / "study.json", {"arms": {"unet": 3}})
    with pytest.raises(InputError, match=r"study\.json must be as saccade compare wrote it, but is not \("):
        write_study_report(folder)
    with pytest.raises(InputError) as error:
        write_study_report(folder, tmp_path)
    assert (
        str(error.value) == f"report: the output must be a file, got the folder {tmp_path}. Try {tmp_path}/report.html."
    )


def test_a_run_is_no_study(tmp_path) -> None:
    assert not is_study(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    assert is_study(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    assert not is_study(tmp_path)
