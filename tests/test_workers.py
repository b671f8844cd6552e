"""Many cases in parallel processes: same results, errors and deaths that name the case, nothing left after Ctrl-C.

Jobs are Python expressions for `eval`, which every process can import.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saccade import workers
from saccade.errors import InputError, RunError
from saccade.workers import cores, run_jobs


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started without a look at how far this one gets alone."""
    monkeypatch.setattr(workers, "STARTING_S", 0.0)


def test_alone_and_in_order():
    assert list(run_jobs(eval, {"b": "1 + 1", "a": "__import__('os').getpid()"}, workers=1)) == [
        ("b", 2),
        ("a", os.getpid()),
    ]
    assert list(run_jobs(eval, {}, workers=3)) == []


def test_few_quick_cases_start_no_process(monkeypatch):
    monkeypatch.setattr(workers, "_in_processes", lambda *_: pytest.fail("started"))
    assert dict(run_jobs(eval, {str(n): str(n) for n in range(9)}, workers=4)) == {str(n): n for n in range(9)}


@pytest.mark.parametrize(("cases", "alone"), [(11, 11), (12, 4)])
def test_processes_are_started_when_enough_is_left(monkeypatch, cases, alone):
    """At half a second a case: after two seconds 7 cases are 3.5 s of work, 8 are 4 s."""
    now = 0.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    monkeypatch.setattr(workers, "_in_processes", lambda _, jobs, __: ((case, None) for case in jobs))
    found = []
    for _, value in run_jobs(eval, {str(n): "1" for n in range(cases)}, workers=4):
        now += 0.5
        found.append(value)
    assert found == [1] * alone + [None] * (cases - alone)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no masks of signals")
def test_in_processes_without_torch(at_once):
    """More jobs than processes; each has what scoring needs and not what takes long to load, and Ctrl-C blocked."""
    loaded = "[__import__('saccade.tasks.segmentation.score_case'), 'torch' in __import__('sys').modules][1]"
    deaf = "(lambda s: s.SIGINT in s.pthread_sigmask(s.SIG_BLOCK, []))(__import__('signal'))"
    jobs = {"light": loaded, "deaf": deaf} | {f"case{n}": f"({n}, __import__('os').getpid())" for n in range(5)}
    found = dict(run_jobs(eval, jobs, workers=2))
    assert found.pop("light") is False
    assert found.pop("deaf") is True  # before its first line, as the mask is inherited
    assert {case: value[0] for case, value in found.items()} == {f"case{n}": n for n in range(5)}
    assert os.getpid() not in {value[1] for value in found.values()}


@pytest.mark.process
@pytest.mark.parametrize(
    ("expression", "kind", "message"),
    [
        ("1 / 0", RunError, "case two: unexpected ZeroDivisionError: division by zero"),
        (
            "(_ for _ in ()).throw(__import__('saccade.errors').errors.InputError('a.nii: cannot be read.'))",
            InputError,
            "case two: a.nii: cannot be read.",
        ),
        ("(_ for _ in ()).throw(MemoryError())", RunError,
         "case two: the machine has not enough memory; use fewer --workers."),
    ],
)  # fmt: skip
def test_an_error_names_the_case_wherever_it_happens(at_once, expression, kind, message):
    jobs = {"two": expression, "one": "__import__('time').sleep(60)"}
    for count in (1, 2):
        with pytest.raises(kind) as error:
            list(run_jobs(eval, jobs, workers=count))
        assert str(error.value) == message


def test_a_message_that_names_the_case_is_left_alone():
    job = "(_ for _ in ()).throw(__import__('saccade.errors').errors.InputError('p/img1.nii: cannot be read.'))"
    with pytest.raises(InputError, match=r"^p/img1.nii: cannot be read.$"):
        list(run_jobs(eval, {"img1": job}, workers=1))
    with pytest.raises(InputError, match=r"^case img: p/img1.nii"):
        list(run_jobs(eval, {"img": job}, workers=1))


@pytest.mark.process
def test_a_process_that_dies_is_noticed(at_once):
    jobs = {"big": "__import__('os').kill(__import__('os').getpid(), 9)", "other": "__import__('time').sleep(60)"}
    with pytest.raises(RunError) as error:
        list(run_jobs(eval, jobs, workers=2))
    assert str(error.value) == (
        "case big: its process was killed by signal 9. If memory ran out, use fewer --workers; "
        'a script must call this from under: if __name__ == "__main__":'
    )


def test_no_workers_at_all():
    with pytest.raises(InputError) as error:
        list(run_jobs(eval, {"a": "1"}, workers=0))
    assert str(error.value) == "workers: must be 1 or more, got 0."
    assert cores() >= 1


SCRIPT = """
import sys
from saccade import workers
if __name__ == "__main__":
    workers.STARTING_S = 0.0
    job = "[__import__('pathlib').Path(FOLDER, str(__import__('os').getpid())).touch(), __import__('time').sleep(60)]"
    job = job.replace("FOLDER", repr(sys.argv[1]))
    try:
        list(workers.run_jobs(eval, {str(n): job for n in range(4)}, workers=2))
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_ends_all_of_them_in_silence(tmp_path: Path):
    folder = tmp_path / "running"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        limit = time.monotonic() + 60
        while len(list(folder.iterdir())) < 2 and time.monotonic() < limit:
            time.sleep(0.05)
        running = [int(path.name) for path in folder.iterdir()]
        assert len(running) == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (out, err) == ("stopped\n", "")
    for pid in running:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
