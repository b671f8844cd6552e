"""`saccade evaluate` from the command line: files written, table or JSON printed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from saccade.cli.evaluate import evaluate
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.study.tables import results_table

SHAPE = (7, 11, 5)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:6, 1:4] = 1
    for name, shift in (("a", 0), ("b", 1)):
        for folder, array in (("predictions", np.roll(labels, shift, 0)), ("truth", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_volume(Volume(array, np.diag([2.0, 1.0, 3.0, 1.0])), tmp_path / folder / f"{name}.nii.gz")
    return tmp_path / "predictions", tmp_path / "truth"


def run(*arguments: object, width: int = 200):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner(env={"COLUMNS": str(width)}).invoke(app, [str(argument) for argument in arguments])


def test_writes_and_prints(folders, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('{"1": "liver [left]"}')
    out, table, rows = tmp_path / "new" / "metrics.json", tmp_path / "table.md", tmp_path / "table.csv"
    done = run(*folders, "--out", out, "--labels", names, "--markdown", table, "--csv", rows)
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text("utf-8"))
    assert set(result["cases"]) == {"a", "b"}
    assert table.read_text("utf-8") == results_table(result)
    with rows.open() as file:
        row = next(csv.DictReader(file))
    assert float(row["dice_mean"]) == result["summary"]["liver [left]"]["dice"]["mean"]
    printed = done.stdout
    for text in ("liver [left]", "S2S (mm)", "Spurious", "mean ± standard deviation over 2 case(s)"):
        assert text in printed
    assert "the other columns" not in printed


def test_a_narrow_terminal_cuts_nothing_off(folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "metrics.json", width=80)
    assert "DSC" in done.stdout
    assert "HD95" not in done.stdout
    assert "the other columns are in" in done.stdout
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_for_programs(folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "metrics.json", "--json")
    assert done.exit_code == 0
    assert done.stdout == (tmp_path / "metrics.json").read_text("utf-8")
    assert json.loads(done.stdout)["summary"]["1"]["dice"]["n"] == 2


def test_tolerance_and_missing_reach_the_scores(folders, tmp_path):
    def surface_dice(*options: object) -> dict:
        done = run(*folders, "--out", tmp_path / "metrics.json", "--json", *options)
        return json.loads(done.stdout)["summary"]["1"]["surface_dice"]

    assert surface_dice("--tolerance", 2)["mean"] > surface_dice()["mean"]
    (folders[0] / "b.nii.gz").unlink()
    assert surface_dice("--missing", "skip")["n"] == 1
    done = run(*folders, "--out", tmp_path / "metrics.json", "--missing", "worst")
    assert "saccade: no prediction for b: counted as empty" in done.stderr
    failed = run(*folders, "--out", tmp_path / "other.json")
    assert failed.exit_code != 0
    assert "got none for b" in str(failed.exception)
    assert not (tmp_path / "other.json").exists()


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Six cases, predictions that are right, and others that are off by more each time."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:6, 1:4] = 1
    for number in range(6):
        off = np.roll(labels, 1, 0)
        off[1, 2, 1] = 1
        off[2, 6 + number % 2, 1:4] = 1
        for folder, array in (("predictions", labels), ("others", off), ("truth", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_volume(Volume(array, np.diag([2.0, 1.0, 3.0, 1.0])), tmp_path / folder / f"case{number}.nii.gz")
    return tmp_path / "predictions", tmp_path / "truth", tmp_path / "others"


def test_against_other_predictions(study, tmp_path):
    predictions, truth, others = study
    out, table, rows = tmp_path / "metrics.json", tmp_path / "table.md", tmp_path / "table.csv"
    done = run(predictions, truth, "--out", out, "--against", others, "--markdown", table, "--csv", rows, "--seed", 5)
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text("utf-8"))
    found = result["against"]["organs"]["1"]["dice"]
    assert found["difference"] > 0.3
    assert found["verdict"] == "better"
    assert result["against"]["other"] == str(others)
    assert result["settings"]["intervals"]["seed"] == 5
    for text in ("DSC against the other, over 6 shared case(s)", "mean over organs", "better"):
        assert text in done.stdout
        assert text in table.read_text("utf-8")
    assert "HD95 (mm) against" not in done.stdout  # of the comparisons the terminal shows one
    assert "HD95 (mm) against" in table.read_text("utf-8")
    assert "95 % interval of the mean" in table.read_text("utf-8")
    with rows.open() as file:
        row = next(csv.DictReader(file))
    assert (float(row["dice_low"]), float(row["dice_high"])) == (1, 1)


def test_what_only_one_side_has_is_said(study, tmp_path):
    predictions, truth, others = study
    (others / "case3.nii.gz").unlink()
    done = run(predictions, truth, "--out", tmp_path / "a.json", "--against", others, "--json")
    assert done.stderr.strip() == f"saccade: {others}: no prediction for case3: left out"
    against = json.loads(done.stdout)["against"]
    assert (against["cases"], against["left_out"]) == (5, {"only_here": ["case3"], "only_there": []})
    counted = run(predictions, truth, "--out", tmp_path / "a.json", "--against", others, "--json", "--missing", "worst")
    assert json.loads(counted.stdout)["against"]["cases"] == 6


def test_lesions_from_the_command_line(study, tmp_path):
    _, truth, others = study
    out, table = tmp_path / "metrics.json", tmp_path / "table.md"
    done = run(
        others, truth, "--out", out, "--lesions", "all", "--overlap", 0.9, "--sizes", "0.1,1", "--markdown", table
    )
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text("utf-8"))
    assert result["settings"]["lesions"] == {"overlap": 0.9, "edges_ml": [0.1, 1]}
    assert result["lesions"]["1"]["summary"]["sensitivity"] == 0
    for text in ("lesions found", "lesions by size", "below 0.1", "0.1 to 1", "from 1"):
        assert text in done.stdout
        assert text in table.read_text("utf-8")
    plain = json.loads(run(others, truth, "--out", out, "--lesions", "1", "--json").stdout)
    assert plain["lesions"]["1"]["summary"]["sensitivity"] == 1
    maps = tmp_path / "maps"
    maps.mkdir()
    for number in range(6):
        map_ = Volume(np.full(SHAPE, 0.5, np.float32), np.diag([2.0, 1.0, 3.0, 1.0]))
        write_volume(map_, maps / f"case{number}_1.nii.gz")
    curve = run(others, truth, "--out", out, "--lesions", "1", "--probabilities", maps)
    assert "sensitivity at false positives per case (FROC)" in curve.stdout


def test_workers_change_nothing(study, tmp_path):
    predictions, truth, _ = study
    results = [
        run(predictions, truth, "--out", tmp_path / "a.json", "--json", *w).stdout for w in ((), ("--workers", 1))
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sizes", "1,x", "--lesions", "1"),
         "evaluate: --sizes must be numbers of ml with commas between, 0.1,1,10, got 1,x."),
        (("--overlap", 0.5), "evaluate: --overlap, --sizes and --probabilities must have --lesions ORGAN with them."),
        (("--lesions", "x"), "lesions: unknown organ 'x'. Known: all."),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(study, tmp_path, options, message):
    done = run(*study[:2], "--out", tmp_path / "a.json", *options)
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == message
    assert not (tmp_path / "a.json").exists()
