"""Importing the package and asking the command for help load nothing heavy."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "monai", "lightning", "numpy", "scipy", "nibabel", "SimpleITK", "pydicom", "sklearn", "matplotlib",
         "pandas", "yaml", "jinja2", "safetensors", "einops", "edt", "tensorboard")  # fmt: skip
REPORT = f"; import sys; print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import saccade; saccade.__version__; dir(saccade)", ""),
        ("import saccade; saccade.list_systems()", ""),
        ("from saccade.cli.main import main; main(['--help'])", "predict"),
        ("from saccade.cli.main import main; main(['train', '--help'])", "Example: saccade train"),
        ("from saccade.cli.main import main; main(['data', 'make', '--help'])", "Example: saccade data make"),
        ("from saccade.cli.main import main; main(['systems', '--json'])", "attention-unet"),
    ],
)
def test_nothing_heavy_is_loaded(code, says) -> None:
    done = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert says in done.stdout


@pytest.mark.process
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nonsense"], 2), ([], 2)])
def test_the_command_as_a_process(arguments, code) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "saccade", *arguments], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
