"""Lost processes, two at one folder, folders that moved, clocks that jump, two hundred predictions in one process."""

import ast
import faulthandler
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from run_files import held_out, history, interrupt, same_weights
from tiny import command_line, files, make_pairs, train

import saccade
from saccade.cli.main import main
from saccade.data.volume import read_volume
from saccade.errors import InputError
from saccade.files import write_json, write_text
from saccade.tasks import devices, run_folder
from saccade.tasks.claims import Claims, process_identity
from saccade.tasks.run_folder import working_in

pytestmark = pytest.mark.usefixtures("short_check")
SOURCE = Path(saccade.__file__).parent


@pytest.fixture
def bounded():
    """A test that waits for ever ends the test run, and shows where it waited."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


# processes that are lost ----------------------------------------------------------------------------------------------

DYING = """
import os, signal
from saccade.tasks.segmentation.module import SegmentationModule
step, done = SegmentationModule.training_step, []

def dying(self, batch, index):
    done.append(index)
    if len(done) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

SegmentationModule.training_step = dying
from saccade.runs import follow
follow()
"""
TWO = ("--devices", "2", "--accelerator", "cpu")


@pytest.mark.process
def test_a_process_that_is_killed_within_an_epoch_is_one_line(pairs, tmp_path, capfd, monkeypatch, bounded) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(devices, "HELPER", DYING)
    assert train(pairs, run, *TWO) == 1
    err = capfd.readouterr().err
    assert err.splitlines()[-1] == (
        "saccade: train: process 1 of the training was lost (killed by signal 9; if memory ran out, use a smaller "
        "batch_size or fewer --devices). What was finished is kept, use --resume."
    )
    assert "Traceback" not in err
    assert not torch.distributed.is_initialized()
    assert len(history(run)) == 1  # it died in the second epoch
    assert not any("partial" in name for name in files(run))
    assert train(pairs, run, "--resume") == 0
    assert len(history(run)) == 2
    assert held_out(run) in {path.name.split(".")[0] for path in (run / "validation").glob("*.nii.gz")}


FIRST_DIES = """
import os, signal, sys
from pathlib import Path
from saccade.tasks import check, devices
from saccade.tasks.segmentation.module import SegmentationModule
check.STEPS, step = 2, SegmentationModule.training_step
devices.HELPER = f"import os, pathlib; pathlib.Path({sys.argv[1]!r}).write_text(str(os.getpid())); {devices.HELPER}"

def dying(self, batch, index):
    if os.environ["RANK"] == "0" and self.current_epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

SegmentationModule.training_step = dying
from saccade.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.mark.process
@pytest.mark.parametrize("starter", ["torchrun", "saccade train"])
def test_the_first_process_is_killed_and_the_other_ends_in_one_line(pairs, tmp_path, starter, bounded) -> None:
    run, helper = tmp_path / "run", tmp_path / "helper"
    command = [sys.executable, "-c", FIRST_DIES, helper, *command_line(pairs, run), *TWO]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [{**place, "RANK": str(n), "LOCAL_RANK": str(n)} for n in (0, 1)] if starter == "torchrun" else [{}]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [subprocess.Popen(command, env={**env, **rank}, stderr=subprocess.PIPE, text=True) for rank in ranks]
    said = [process.communicate(timeout=90)[1].splitlines() for process in started]
    assert started[0].returncode == -signal.SIGKILL
    if starter == "torchrun":
        assert started[1].returncode == 1
        assert [line for line in said[1] if line.startswith("saccade: ")] == [said[1][-1]]
        assert said[1][-1] == (
            "saccade: train: another process of the training was lost. What was finished is kept, use --resume."
        )
        assert not any("Traceback" in line for line in said[1])
    else:  # the one that could say something is dead; the one that it had started does not stay behind
        end = time.monotonic() + 60
        while process_identity(int(helper.read_text())):
            assert time.monotonic() < end
            time.sleep(0.1)
    assert len(history(run)) == 1  # it died in the second epoch
    assert train(pairs, run, "--resume") == 0
    assert len(history(run)) == 2
    assert held_out(run) in {path.name.split(".")[0] for path in (run / "validation").glob("*.nii.gz")}


# two at one folder ----------------------------------------------------------------------------------------------------


def test_two_commands_that_resume_one_run(trained, pairs, tmp_path, monkeypatch, capfd) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = {name: (run / name).stat().st_mtime_ns for name in files(run)}
    monkeypatch.setattr(run_folder, "WAIT_SECONDS", 0.0)
    with working_in(run, fresh=False):
        for more in (["--resume"], ["--extend", "2"]):
            assert train(pairs, run, *more) == 2
            assert capfd.readouterr().err.splitlines()[-1] == (
                f"saccade: {run}: another process is training in this folder. Wait for it, or choose another folder."
            )
    assert {name: (run / name).stat().st_mtime_ns for name in files(run)} == before


def test_a_folder_that_was_removed_while_we_waited_for_it_is_made_and_held_anew(tmp_path, monkeypatch) -> None:
    """The first of two fails and takes its folder away: the second must hold the folder that others see."""
    run = tmp_path / "run"
    monkeypatch.setattr(run_folder, "WAIT_SECONDS", 5.0)
    entered, told = threading.Event(), []

    def second() -> None:
        with working_in(run, fresh=True):
            descriptor = os.open(run, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                told.append("free")
            except BlockingIOError:
                told.append("held")
            finally:
                os.close(descriptor)

    other = threading.Thread(target=second)

    def first() -> None:
        with working_in(run, fresh=True):
            other.start()
            entered.wait(0.5)  # the other one has opened the folder by then
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError):
        first()
    other.join(20)
    assert told == ["held"]
    assert run.is_dir()


def test_disks_without_locks_are_held_by_a_claim(tmp_path, monkeypatch) -> None:
    """As some network file systems are."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_folder.fcntl, "flock", no_locks)
    monkeypatch.setattr(run_folder, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(run_folder, "Claims", lambda folder: Claims(folder, heartbeat_seconds=0.05, stale_seconds=0.5))
    run = tmp_path / "run"
    with working_in(run, fresh=True):
        assert files(run) == {".claims/training.1"}
        with (
            pytest.raises(InputError, match="another process is training in this folder"),
            working_in(run, fresh=False),
        ):
            pass
        (run / "last.ckpt").touch()
    assert files(run) == {"last.ckpt"}
    (run / ".claims").mkdir()
    (run / ".claims/training.1").write_text('{"machine": "another", "pid": 1}')  # it broke down
    monkeypatch.setattr(run_folder, "WAIT_SECONDS", 5.0)
    with working_in(run, fresh=False):
        assert (run / ".claims/training.2").is_file()
    assert files(run) == {"last.ckpt"}
    (run / "last.ckpt").unlink()
    (run / ".claims").mkdir()
    (run / ".claims/training.1").write_text('{"machine": "another", "pid": 1}')
    with working_in(run, fresh=True):  # nothing but what a start leaves behind
        pass


def test_threads_and_machines_that_write_one_file_leave_one_of_theirs(tmp_path) -> None:
    """Process numbers are no names: two threads share one, and so may two machines."""
    path, begin, failed = tmp_path / "a.json", threading.Barrier(8), []

    def write(number: int) -> None:
        begin.wait()
        try:
            for _ in range(20):
                write_json(path, [number] * 3000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    content = json.loads(path.read_text("utf-8"))
    assert content == [content[0]] * 3000
    assert files(tmp_path) == {"a.json"}
    path.unlink()
    umask = os.umask(0)
    os.umask(umask)
    write_text(path, "x")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask  # as any new file, not for its owner alone


# folders that moved ---------------------------------------------------------------------------------------------------


def test_a_run_and_its_data_that_were_moved(trained, tmp_path, capfd, monkeypatch) -> None:
    data, run = make_pairs(tmp_path / "here/data"), tmp_path / "here/run"
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        assert train(data, run) == 130
    (tmp_path / "there").mkdir()
    data, run = data.rename(tmp_path / "there/scans"), run.rename(tmp_path / "there/model")
    gone = tmp_path / "here/data"
    capfd.readouterr()
    assert train(gone, run, "--resume") == 2
    assert capfd.readouterr().err == f"saccade: {gone}: there is no such folder.\n"
    some = make_pairs(tmp_path / "some", 2)
    assert train(some, run, "--resume") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {some}: must hold case 'case")
    assert train(data, run, "--resume") == 0
    assert history(run) == history(trained)
    assert same_weights(run, trained)
    out = tmp_path / "there/out"
    scan, expected = data / "images/case0.nii.gz", saccade.load(trained).predict(data / "images/case0.nii.gz")
    assert main(["predict", str(run), str(scan), "--out", str(out)]) == 0
    np.testing.assert_array_equal(read_volume(out / "case0.nii.gz").array, expected.array)
    scores = tmp_path / "there/scores.json"
    assert main(["evaluate", str(out), str(data / "labels"), "--missing", "skip", "--out", str(scores)]) == 0
    assert list(json.loads(scores.read_text("utf-8"))["cases"]) == ["case0"]
    assert main(["report", str(run)]) == 0
    assert held_out(run) in (run / "report.html").read_text("utf-8")


# clocks ---------------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing(pairs, trained, tmp_path, monkeypatch) -> None:
    rng = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: rng.randrange(4 * 10**18))
    run, out = tmp_path / "run", tmp_path / "out"
    begin = time.monotonic()
    assert train(pairs, run) == 0
    assert history(run) == history(trained)
    assert 0 < json.loads((run / "summary.json").read_text("utf-8"))["training_seconds"] < time.monotonic() - begin
    for _ in range(2):  # and what is finished is known again
        assert main(["predict", str(run), str(pairs / "images"), "--out", str(out)]) == 0
    records = [json.loads(path.read_text("utf-8")) for path in (out / "records").iterdir()]
    assert len(records) == 5
    assert all(0 <= seconds < time.monotonic() - begin for one in records for seconds in one["seconds"].values())


def test_nothing_goes_by_the_time_of_day() -> None:
    """Durations and order come from clocks that nobody can set; dates are only written down."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if name in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"):
                    found.add((path.name, name))
            elif isinstance(node, ast.ImportFrom) and node.module == "time":
                assert not {alias.name for alias in node.names} & {"time", "time_ns"}, path
    assert found <= {("environment.py", "datetime.now"), ("dicom_segmentation.py", "datetime.now")}


# two hundred predictions ----------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_two_hundred_predictions_hold_no_more_than_twenty(trained) -> None:
    """In a process of its own: what checks the shapes in these tests keeps something of each call itself."""
    script = Path(__file__).parents[1] / "two_hundred.py"
    done = subprocess.run([sys.executable, script, trained], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    early, late = (json.loads(line) for line in done.stdout.splitlines())
    assert late["predictions"] - early["predictions"] == 180
    for name in ("tensors", "files", "threads", "hooks"):
        assert late[name] <= early[name], name
    assert late["objects"] - early["objects"] < 90  # not one in two predictions
    assert late["traced"] - early["traced"] < 50_000  # the smallest result of a prediction, kept each time, is more
