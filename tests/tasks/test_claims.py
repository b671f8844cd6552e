"""Claims on work: one owner at a time, among real processes of which some are killed."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from tiny import files

from saccade.tasks.claims import Claims, process_identity, this_machine

WORKER = """
import os, sys, time
from pathlib import Path
from saccade.tasks.claims import Claims
folder, log, items = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT), int(sys.argv[3])
pid, todo = os.getpid(), [str(n) for n in range(items)]
claims = Claims(folder / "claims")
while todo:
    for item in tuple(todo):
        with claims.hold(item) as ours:
            if ours:
                todo.remove(item)
                if not (folder / item).exists():
                    os.write(log, f"start {item} {pid}\\n".encode())
                    time.sleep(float(sys.argv[4]))
                    os.write(log, f"end {item} {pid}\\n".encode())
                    (folder / item).touch()
    time.sleep(0.01)
"""


def start_worker(folder: Path, items: int, seconds: float) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WORKER, folder, folder / "log", str(items), str(seconds)])


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this should have happened by now"
        time.sleep(0.01)


@pytest.mark.process
def test_each_piece_is_done_once_though_workers_are_killed(tmp_path) -> None:
    items, log = 60, tmp_path / "log"
    workers = [start_worker(tmp_path, items, 0.02) for _ in range(4)]
    dead = workers[:2]
    for count, worker in enumerate(dead, start=1):
        wait_for(lambda count=count: log.exists() and len(log.read_text("utf-8").splitlines()) > 25 * count)
        worker.kill()  # and nobody waits for it yet: it stays in the list of processes
    assert [worker.wait(60) for worker in workers[2:]] == [0, 0]
    events = defaultdict(list)
    for line in log.read_text("utf-8").splitlines():
        what, item, pid = line.split()
        events[item].append((what, int(pid)))
    killed = {worker.pid for worker in dead}
    assert len(events) == items
    for told in events.values():
        # whoever was killed left a start without an end, or ended and could not say so; the living do it once
        living = [event for event in told if event[1] not in killed]
        assert living in ([], [("start", living[0][1]), ("end", living[0][1])] if living else [])
        for (_, pid), (_, other) in pairwise(told):  # nobody comes in between, or after a living one
            assert other == pid or pid in killed
    again = [item for item, told in events.items() if [what for what, _ in told].count("start") > 1]
    assert len(again) <= len(dead)
    assert not (tmp_path / "claims").exists()
    for worker in dead:
        assert worker.wait() == -signal.SIGKILL


def test_a_claim_is_had_by_one_and_gone_afterwards(tmp_path) -> None:
    first, second = Claims(tmp_path / "c"), Claims(tmp_path / "c")
    with first.hold("a") as ours, second.hold("a") as theirs, second.hold("a.1") as another:
        assert (ours, theirs, another) == (True, False, True)
        assert files(tmp_path) == {"c/a.1", "c/a.1.1"}
    assert not (tmp_path / "c").exists()
    with pytest.raises(KeyError), first.hold("a"):
        raise KeyError
    assert not (tmp_path / "c").exists()


def leave_claim(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.1").write_text(text)
    return folder / "a.1"


@pytest.mark.parametrize(
    "text",
    ['{"machine": "another", "pid": 1}', "", "[]", f'{{"machine": "{this_machine()}", "pid": {os.getpid()}}}'],
    ids=["another machine", "empty", "no owner", "this process, of an earlier life"],
)
def test_an_owner_that_cannot_be_asked_is_dead_when_its_heart_stands_still(tmp_path, text) -> None:
    """On another machine; killed before it could write its name; a number that another process has by now."""
    path, claims = leave_claim(tmp_path / "c", text), Claims(tmp_path / "c", stale_seconds=0.3)
    reused = f'"pid": {os.getpid()}' in text and "started" in process_identity(os.getpid())
    for _ in range(8):
        with claims.hold("a") as ours:
            assert ours == reused
        if reused:
            return
        time.sleep(0.1)
        os.utime(path, ns=(0, time.time_ns() - 10**18))  # its clock may say what it likes, so long as it moves
    wait_for(lambda: _free(claims))
    assert files(tmp_path) == set()


def _free(claims: Claims) -> bool:
    with claims.hold("a") as ours:
        return ours


def test_the_heart_of_a_living_owner_beats(tmp_path) -> None:
    with Claims(tmp_path / "c", heartbeat_seconds=0.01).hold("a"):
        os.utime(tmp_path / "c/a.1", ns=(0, 0))
        wait_for(lambda: (tmp_path / "c/a.1").stat().st_mtime_ns > 10**18)


def test_waiting_for_a_short_piece_of_work(tmp_path) -> None:
    path = leave_claim(tmp_path / "c", '{"machine": "another"}')
    begin = time.monotonic()
    with Claims(tmp_path / "c", stale_seconds=0.2).wait("a"):
        assert time.monotonic() - begin > 0.2
        assert {path.name, "a.2"} == files(tmp_path / "c")
    assert not (tmp_path / "c").exists()
