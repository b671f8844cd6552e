"""A piece of a study in its own process: what it says and raises arrives, and its death is told."""

import os

import alone_jobs
import pytest

from saccade.errors import InputError, RunError
from saccade.study.compare_process import alone

pytestmark = pytest.mark.process


def test_what_it_says_arrives_and_what_it_prints_does_not_disturb(capfd) -> None:
    said = []
    alone(alone_jobs.speak, "work", said.append)
    first, second = said
    assert first.startswith("work in ")
    assert first != f"work in {os.getpid()}"
    assert second == "x" * 200_000
    assert capfd.readouterr().out == ""


def test_errors_arrive_as_they_were() -> None:
    with pytest.raises(InputError) as refusal:
        alone(alone_jobs.refuse, "scan", print)
    assert str(refusal.value) == "scan: must be whole."
    with pytest.raises(OSError, match="No space left on device") as error:
        alone(alone_jobs.no_space, "/disk", print)
    assert (error.value.errno, error.value.filename) == (28, "/disk")
    with pytest.raises(RunError) as failure:
        alone(alone_jobs.stumble, "x", print)
    assert str(failure.value) == "compare: unexpected KeyError: 'x'"
    assert "in stumble" in failure.value.__notes__[0]


def test_a_killed_process_is_told() -> None:
    said = []
    with pytest.raises(RunError) as error:
        alone(alone_jobs.die, "work", said.append)
    assert said == ["last words"]
    assert str(error.value) == (
        "compare: a process was killed by signal 9; perhaps memory ran out. Finished runs are kept: start it again."
    )
