"""What is read from a run folder, in which order, and what is said when something is not there."""

import json
import shutil

import pytest

from saccade.data.labels import label_colour
from saccade.errors import InputError
from saccade.report.gather import gather, on_dark


def test_a_whole_run(run):
    record = gather(run)
    assert [case.name for case in record.cases] == ["bad", "middling", "good"]  # (0.5 + 0.25) / 2, 0.75, 0.9
    assert [case.mean_dice for case in record.cases] == pytest.approx([0.375, 0.75, 0.9])
    assert record.mean_dice == pytest.approx(0.7126)
    assert record.labels == {1: "liver", 2: "spleen"}
    assert record.colour("spleen") == label_colour(2)
    assert record.colour("7") == label_colour(7)
    assert record.colour("nobody") is None
    assert record.cases[0].source.label.name == "bad.nii.gz"
    assert list(record.cases[0].attention) == ["gate1"]
    assert record.curves[1]["val_dice"] == 0.4
    assert "val_dice" not in record.curves[0]
    assert record.notices == ["train_loss was not finite at times (gaps in its curve)."]


def test_dark_colours_are_lightened_for_scans():
    assert on_dark((200, 150, 100)) == (200, 150, 100)
    assert on_dark((0, 0, 0)) == (100, 100, 100)
    # 0.1 x 160 = 16 is 84 short of 100; of what is missing to white, 84/239: 0 + 89.6 and 160 + 33.4
    assert on_dark((0, 0, 160)) == (90, 90, 193)
    assert on_dark((255, 255, 255)) == (255, 255, 255)


def test_cases_without_a_score_come_last(fake, tmp_path):
    run = fake.make_run(tmp_path, {"a": (None, None), "b": (0.9, 0.9), "c": (0.0, 0.1)})
    assert [case.name for case in gather(run).cases] == ["c", "b", "a"]


def test_a_map_belongs_to_the_longest_case_name(fake, tmp_path):
    run = fake.make_run(tmp_path, {"a": (0.5, 0.5), "a_b": (0.5, 0.5)})
    by_name = {case.name: case.attention for case in gather(run).cases}
    assert list(by_name["a"]) == ["gate1"]
    assert list(by_name["a_b"]) == ["gate1"]
    assert by_name["a_b"]["gate1"].name == "a_b_gate1.nii.gz"


def test_everything_optional_missing_is_said(run):
    for name in ("summary.json", "environment.json", "splits.json", "metrics.csv"):
        (run / name).unlink()
    shutil.rmtree(run / "validation")
    assert gather(run).notices == [
        "run/splits.json is missing.",
        "validation/metrics.json is missing.",
        "run/summary.json is missing.",
        "run/environment.json is missing.",
        "run/metrics.csv is missing: no training curves.",
        "The run has no validation folder: no cases to show.",
    ]


def test_moved_data_are_found_by_the_splits_or_said_to_be_gone(run):
    data = run.parent / "data"
    shutil.move(data / "images", run.parent / "elsewhere")
    splits = json.loads((run / "splits.json").read_text("utf-8"))
    splits["files"]["bad"]["image"] = [str(run.parent / "elsewhere" / "bad.nii.gz")]
    (run / "splits.json").write_text(json.dumps(splits))
    record = gather(run)
    assert [case.source is not None for case in record.cases] == [True, False, False]
    assert "The scan is not to be found for: good, middling." in record.notices


def test_broken_optional_files_are_said(run):
    (run / "summary.json").write_text("{")
    (run / "environment.json").write_text("[1]")
    record = gather(run)
    assert record.summary == record.environment == {}
    assert any("summary.json: cannot be read as JSON" in notice for notice in record.notices)
    assert "run/environment.json must hold values by name, got list." in record.notices


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "report: {run} must be the folder of a run, but it has no config.yaml."),
        ("- 1\n", "report: {run}/config.yaml must hold settings by name, got list."),
        ("a: [", "report: {run}/config.yaml must be YAML, but it cannot be read (while parsing a flow node"),
    ],
)
def test_not_a_run(tmp_path, content, said):
    if content is not None:
        (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        gather(tmp_path)
    assert str(caught.value).startswith(said.format(run=tmp_path))
    assert "\n" not in str(caught.value)


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError) as caught:
        gather(tmp_path / "gone")
    assert str(caught.value) == f"report: {tmp_path}/gone must be the folder of a run, but there is no such folder."
