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
    result = json.loads(out.read_text())
    assert set(result["cases"]) == {"a", "b"}
    assert table.read_text() == results_table(result)
    with rows.open() as file:
        row = next(csv.DictReader(file))
    assert float(row["dice_mean"]) == result["summary"]["liver [left]"]["dice"]["mean"]
    printed = done.stdout
    for text in ("liver [left]", "S2S (mm)", "Spurious", "mean ± standard deviation over 2 case(s)"):
        assert text in printed
    assert "the other metrics" not in printed


def test_a_narrow_terminal_cuts_nothing_off(folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "metrics.json", width=80)
    assert "DSC" in done.stdout
    assert "HD95" not in done.stdout
    assert "the other metrics are in" in done.stdout
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_for_programs(folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "metrics.json", "--json")
    assert done.exit_code == 0
    assert done.stdout == (tmp_path / "metrics.json").read_text()
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
