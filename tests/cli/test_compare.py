"""`saccade compare`: tables or JSON on stdout, one line for bad input; `saccade report` on what it left."""

import json

import pytest
from fake_study import make_arm, make_study, write_study
from tiny import NETWORK, QUICK

from saccade.cli.main import main

WORDS = ["--folds", "2", "--first-folds", "1", *QUICK, *NETWORK["unet"], "--set", "data.label_names={1: ball}"]


@pytest.fixture(autouse=True)
def _here(monkeypatch, short_check) -> None:
    monkeypatch.setattr("saccade.study.compare_runs.alone", lambda function, job, say: function(job, say))


def test_tables_json_and_the_page(pairs, tmp_path, capfd) -> None:
    out = tmp_path / "study"
    words = ["compare", "unet", "--data", str(pairs), "--out", str(out), *WORDS]
    assert main(words) == 0
    printed, said = capfd.readouterr()
    assert printed == (out / "study.md").read_text("utf-8")
    assert "| unet | 2 |" in printed or "| unet | 3 |" in printed
    assert "[1/1] unet-fold0-seed0" in said
    assert main([*words, "--json"]) == 0
    printed, said = capfd.readouterr()
    study = json.loads(printed)
    assert list(study["arms"]["unet"]["summary"]) == ["ball"]
    assert "finished before" in said
    assert main(["report", str(out)]) == 0
    assert capfd.readouterr().out == f"{out / 'report.html'}\n"
    assert "<h1>unet</h1>" in (out / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["attention-unit"], "saccade: unknown system 'attention-unit'. Did you mean 'attention-unet'? Known: "),
        (["unet", "--preset", "small"], "unet: unknown preset 'small'."),
        (["unet", "--set", "trainin.epochs=1"], "compare: unknown section 'trainin'. Did you mean 'training'? Known: "),
        (["unet", "--set", "training.epoch=1"], "unet: training: unknown setting 'epoch'. Did you mean 'epochs'?"),
        (["unet", "--protocol", "ct83"], "compare: unknown protocol 'ct83'. Did you mean 'ct82'? Known: "),
    ],
)
def test_bad_use_is_one_line(words, line, pairs, tmp_path, capfd) -> None:
    assert main(["compare", *words, "--data", str(pairs), "--out", str(tmp_path / "study")]) == 2
    printed, said = capfd.readouterr()
    assert printed == ""
    assert said.startswith(f"saccade: {line}")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "study").exists()


def test_options_of_a_runs_page_are_refused_for_a_study(tmp_path, capfd) -> None:
    folder = write_study(tmp_path / "study", make_study({"unet": make_arm({"liver": [0.5] * 5})}, []))
    assert main(["report", str(folder), "--cases", "3"]) == 2
    assert capfd.readouterr().err == (
        "saccade: report: --cases and --max-megabytes are for a run, the page of a study has no scans.\n"
    )
