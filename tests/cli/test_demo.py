"""`saccade demo` in small: all of its steps, and which folders it may empty."""

import pytest
from tiny import files

from saccade.cli.main import main

pytestmark = pytest.mark.usefixtures("short_check")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.study.demo.TRAINING_CASES", 6)
    monkeypatch.setattr("saccade.study.demo.TEST_CASES", 1)


def test_from_nothing_to_a_report_and_again(small, tmp_path, capsys) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--seconds", "1"]) == 0
    said = capsys.readouterr()
    for line in ("mean Dice of liver, spleen and kidneys on unseen abdomens: ", "pancreas: ", "report: file://"):
        assert line in said.out
    assert "liver" in said.out
    assert "Traceback" not in said.err
    made = files(out)
    assert {"run/report.html", "run/config.yaml", "metrics.json", "predictions/volumes.csv"} <= made
    (out / "abdomens/stale.txt").write_text("of the last time")
    main(["demo", "--out", str(out), "--seconds", "0"])  # refused: nothing is lost
    assert (out / "abdomens/stale.txt").exists()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path, capsys) -> None:
    (tmp_path / "mine/abdomens").mkdir(parents=True)
    (tmp_path / "mine/thesis.tex").write_text("keep me")
    assert main(["demo", "--out", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err == (
        f"saccade: {tmp_path}/mine: must be new, empty or an earlier demo, holds something else. "
        "Choose another --out.\n"
    )
    assert files(tmp_path) == {"mine/thesis.tex"}


def test_an_earlier_demo_is_emptied(tmp_path, monkeypatch) -> None:
    from saccade.study.demo import MARK

    def stop(out, **_):
        raise KeyboardInterrupt

    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / MARK).touch()
    (tmp_path / "demo" / "metrics.json").write_text("{}")
    monkeypatch.setattr("saccade.study.demo.run_demo", stop)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 130
    assert files(tmp_path) == set()
