"""What tests with damaged files share: how many examples, the time one may take, and all that a command says."""

import contextlib
import faulthandler
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from datetime import timedelta

from hypothesis import settings

from saccade.cli.main import main
from saccade.data.dicom import GeometryWarning

MANY = int(os.environ.get("SACCADE_FUZZ", "1"))  # times the examples of an ordinary test run
SECONDS = 5  # an example that takes longer is a hang


def fuzz(examples: int):
    return settings(max_examples=examples * MANY, deadline=timedelta(seconds=SECONDS), derandomize=MANY == 1)


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """What hangs ends the test run, and shows where it did."""
    faulthandler.dump_traceback_later(seconds * MANY, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def written() -> Iterator[list[str]]:
    """What anything in the process, libraries in C++ too, writes to stdout and stderr meanwhile, as lines."""
    lines: list[str] = []
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield lines
        finally:
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def command(*arguments: object) -> tuple[int, list[str]]:
    """Exit code, and the lines on stderr; what libraries write themselves counts too."""
    out, err = io.StringIO(), io.StringIO()
    with written() as said, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", GeometryWarning)
        code = main([str(argument) for argument in arguments])
    assert said == []
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return code, err.getvalue().splitlines()
