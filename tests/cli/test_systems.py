"""`saccade systems`: for people and for programs."""

import json

from saccade.cli.main import main
from saccade.systems import list_systems


def test_for_programs(capsys) -> None:
    assert main(["systems", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [system["name"] for system in found] == [system.name for system in list_systems()]
    first = found[0]
    assert first["name"] == "attention-unet"
    assert first["parameters"] == 6411498
    assert {"name", "task", "paper", "control", "summary", "parameters"} <= set(first)


def test_for_people(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["systems"]) == 0
    out = capsys.readouterr().out
    assert "attention-unet" in out
    assert "6,411,498" in out
    assert "Oktay et al. 2018" in out
