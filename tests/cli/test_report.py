"""`saccade report`: prints where the page is; a folder that is no run is one clear error."""

import pytest
import typer
from typer.testing import CliRunner

from saccade.cli.report import report
from saccade.errors import InputError

app = typer.Typer()
app.command()(report)


def test_the_path_is_printed(tmp_path):
    (tmp_path / "config.yaml").write_text("system: unet\n")
    out = tmp_path / "pages" / "page.html"
    result = CliRunner().invoke(app, [str(tmp_path), "--out", str(out)])
    assert result.exit_code == 0
    assert result.stdout.split() == [str(out)]
    assert "unet" in out.read_text(encoding="utf-8")


def test_not_a_run(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "gone")])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == (
        f"report: {tmp_path / 'gone'} must be the folder of a run, but there is no such folder."
    )
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example():
    result = CliRunner().invoke(app, ["--help"])
    assert "saccade report runs/abdomen" in result.stdout


@pytest.mark.process
def test_the_command_line_stays_light():
    import subprocess
    import sys

    code = "import sys, saccade.cli.report; print([m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
