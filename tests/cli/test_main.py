"""One place where errors become a line and an exit code."""

import warnings

import pytest
import typer

from saccade.cli import main as module
from saccade.cli.main import app, main, run
from saccade.errors import InputError, RunError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("scan.nii: must be\nwhole."), 2, "scan.nii: must be whole."),
        (RunError("training: lost."), 1, "training: lost."),
        (OSError(28, "No space left on device", "a.nii"), 1, "the machine refused: No space left on device: a.nii"),
        (PermissionError(13, "Permission denied", "/a"), 1, "the machine refused: Permission denied: /a"),
        (MemoryError(), 1, "the machine has not enough memory; use a smaller patch_size or batch_size."),
        (KeyError("x"), 1, "unexpected KeyError: 'x' (run again with --debug)"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C; what was finished is kept."),
        (typer.Abort(), 130, "stopped by Ctrl-C; what was finished is kept."),
    ],
)
def test_errors(monkeypatch, capfd, error, code, line) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("saccade.systems.list_systems", fail)
    assert main(["systems"]) == code
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"saccade: {line}\n")
    assert main(["systems", "--debug"]) == code
    assert capfd.readouterr().err.startswith("Traceback")


def test_help_version_and_nothing(capfd) -> None:
    assert main(["--help"]) == 0
    out = capfd.readouterr().out
    for verb in ("systems", "data", "train", "predict", "evaluate", "report", "demo"):
        assert f" {verb} " in out
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == "saccade 0.1.0\n"


@pytest.mark.parametrize("verb", [command.name for command in app.registered_commands])
def test_every_verb_has_help_with_an_example(verb, capfd) -> None:
    assert main([verb, "--help"]) == 0
    assert f"Example: saccade {verb}" in capfd.readouterr().out


def test_the_process_ends_with_the_code(monkeypatch) -> None:
    monkeypatch.setattr(module.sys, "argv", ["saccade", "--version"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 0
    monkeypatch.setattr(module.sys, "argv", ["saccade", "nonsense"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2


@pytest.fixture(autouse=True)
def plain_warnings(monkeypatch):
    """How Python writes a warning, put back after each test."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    return warnings.formatwarning


def test_a_warning_is_one_line_and_with_debug_tells_its_place(monkeypatch, plain_warnings) -> None:
    warning = (UserWarning("scan.dcm: 2 slices\nare missing."), UserWarning, "slices.py", 20)
    said = []
    monkeypatch.setattr(module, "main", lambda: said.append(warnings.formatwarning(*warning)))
    for options in ([], ["--debug"]):
        monkeypatch.setattr(module.sys, "argv", ["saccade", "predict", *options])
        warnings.formatwarning = plain_warnings
        with pytest.raises(SystemExit):
            run()
    assert said == ["saccade: warning: scan.dcm: 2 slices are missing.\n", plain_warnings(*warning)]
