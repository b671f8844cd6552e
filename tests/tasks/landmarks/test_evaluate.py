"""Scores of landmarks: numbers worked by hand, what is missing, and the criterion of centre lines."""

import json

import numpy as np
import pytest
from landmark_sets import write

from saccade.cli.main import main
from saccade.data.landmarks.case import CentreLine, LandmarkCase
from saccade.errors import InputError
from saccade.metrics.landmarks import line_offsets, on_line
from saccade.tasks.landmarks.evaluate import evaluate_landmarks, score_landmarks
from saccade.tasks.landmarks.files import is_points, read_points

LONG = ["image", "name", "x", "y"]


def case(id: str, points, lines=None) -> LandmarkCase:
    from pathlib import Path

    return LandmarkCase(id, Path(f"{id}.png"), points, lines=lines or {})


def test_scores_by_hand() -> None:
    cases = [case("a", {"l": (0.0, 0.0), "r": (10.0, 0.0)}), case("b", {"l": (0.0, 0.0)})]
    found = {"a": {"l": (3.0, 4.0), "r": (10.0, 12.0)}, "b": {"r": (1.0, 1.0)}}
    result = score_landmarks(found, cases, ["l", "r"], tolerance=5.0)
    summary = {name: one["value"] for name, one in result["summary"].items()}
    # errors 5 and 12; b's l was not predicted, b's r is not there
    assert summary == {
        "localised": pytest.approx(1 / 3), "all_localised": 0.0, "mean_error": 8.5, "median_error": 8.5,
        "invented": 1.0,
    }  # fmt: skip
    assert result["criterion"] == "within 5 px"
    assert result["per_landmark"]["l"] == {
        "n": 2, "localised": 0.5, "mean_error": 5.0, "median_error": 5.0, "invented": 0,
    }  # fmt: skip
    assert result["per_landmark"]["r"]["invented"] == 1
    assert result["cases"]["b"]["landmarks"]["l"]["error"] is None


def test_intervals_are_over_cases() -> None:
    cases = [case(f"{n}", {"l": (0.0, 0.0)}) for n in range(20)]
    found = {f"{n}": {"l": (0.0, 20.0 * (n % 2))} for n in range(20)}
    summary = score_landmarks(found, cases, ["l"])["summary"]
    assert summary["localised"]["value"] == 0.5
    assert 0.2 <= summary["localised"]["low"] < 0.5 < summary["localised"]["high"] <= 0.8
    assert summary["median_error"]["low"] <= 10 <= summary["median_error"]["high"]


def test_a_rib_is_found_near_its_line_and_its_landmark() -> None:
    line, truth = np.array([[0.0, 0.0], [30.0, 0.0], [30.0, 40.0]]), np.array([20.0, 0.0])
    assert line_offsets(np.array([33.0, 10.0]), truth, line) == (3.0, 20.0)  # 10 to the corner, 10 down
    for point, right in [((20, 2), True), ((20, 2.1), False), ((16, 0), True), ((15.9, 0), False), ((24, -2), True)]:
        assert on_line(np.array(point, float), truth, line, 2.0) is right
    lines = {"l": CentreLine(((0.0, 0.0), (30.0, 0.0)), 2.0)}
    cases = [case("a", {"l": (20.0, 0.0)}, lines)]
    said = {"a": {"l": (17.0, 1.9)}}
    assert score_landmarks(said, cases, ["l"])["summary"]["localised"]["value"] == 1.0
    assert score_landmarks(said, cases, ["l"])["criterion"] == "centre line"
    assert score_landmarks(said, cases, ["l"], tolerance=3.0)["summary"]["localised"]["value"] == 0.0


@pytest.fixture
def truth(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / f"images/{name}.png")
    rows = [[f"{id}.png", name, 5, 6] for id in "ab" for name in ("l", "r")]
    return write(tmp_path / "points.csv", LONG, rows)


def test_tables_of_other_tools_are_scored(tmp_path, truth, capsys) -> None:
    wide = write(
        tmp_path / "said.csv", ["file", "l_x", "l_y", "r_x", "r_y"], [["a.png", 5, 6, 5, 26], ["b.png", 5, 6, "", ""]]
    )
    assert is_points(wide)
    assert read_points(wide) == {"a": {"l": (5.0, 6.0), "r": (5.0, 26.0)}, "b": {"l": (5.0, 6.0)}}
    out = tmp_path / "metrics.json"
    table = tmp_path / "metrics.csv"
    assert main(["evaluate", str(wide), str(truth), "--out", str(out), "--csv", str(table)]) == 0
    assert json.loads(out.read_text())["summary"]["localised"]["value"] == 0.5
    assert "Images with all localised" in capsys.readouterr().out
    assert table.read_text().splitlines()[1].startswith("localised,0.5,")
    assert (
        main(["evaluate", str(wide), str(truth), "--out", str(out), "--tolerance", "20", "--against", str(wide)]) == 0
    )
    result = json.loads(out.read_text())
    assert result["criterion"] == "within 20 px"
    assert result["summary"]["localised"]["value"] == 0.75
    assert result["against"]["scores"]["localised"]["difference"] == 0.0


def test_cases_without_a_prediction(tmp_path, truth) -> None:
    said = write(
        tmp_path / "said.csv", ["case", "name", "x", "y"], [["a", "l", 5, 6], ["a", "r", 5, 6], ["c", "l", 1, 1]]
    )
    with pytest.raises(InputError, match=r"must have every case, has not b\. --missing skip leaves them out"):
        evaluate_landmarks(said, truth)
    lines: list[str] = []
    assert evaluate_landmarks(said, truth, missing="skip", say=lines.append)["summary"]["localised"]["value"] == 1.0
    assert lines == ["no prediction for 1 case(s): left out", "no truth for 1 case(s): left out"]
    assert evaluate_landmarks(said, truth, missing="worst")["summary"]["localised"]["value"] == 0.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "l", "five", 6]], "line 2: x must be a number, got 'five'."),
        ([["a", "l", 5, 6], ["a", "l", 5, 6]], "line 3: each landmark must have one row a case, got l again."),
    ],
)
def test_damaged_tables(tmp_path, truth, rows, message) -> None:
    said = write(tmp_path / "said.csv", ["case", "name", "x", "y"], rows)
    with pytest.raises(InputError) as error:
        evaluate_landmarks(said, truth)
    assert str(error.value) == f"{said}: {message}"


def test_wishes_that_landmarks_do_not_have(tmp_path, truth, capsys) -> None:
    out = str(tmp_path / "m.json")
    assert main(["evaluate", str(truth), str(truth), "--out", out, "--columns", "l"]) == 2
    assert "evaluate: --columns is for tables of predictions" in capsys.readouterr().err
    nothing = write(tmp_path / "said.csv", ["case", "name", "x", "y"], [["z", "l", 1, 1]])
    assert main(["evaluate", str(nothing), str(truth), "--out", out]) == 2
    assert "no case is in the truth; predicted are z, true are a, b." in capsys.readouterr().err
