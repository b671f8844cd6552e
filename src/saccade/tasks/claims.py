"""Work shared out among processes through claim files: each piece has one owner at a time, also when one dies.

The processes need nothing in common but a folder: they may be of one machine or of several, started together or not.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # twelve missed heartbeats: a slow file server is given time


class Claims:
    """The claims in a folder, as one process sees them.

    The claim on ``name`` is the file ``name.1``, made so that only one process can make it. When its owner is dead the
    next owner makes ``name.2``, again as only one can, and so on: nothing is ever taken away from a living owner, and
    of two that find the same dead one only one succeeds it. The highest number is the owner's.

    An owner is dead when it ran on this machine and is gone, or when its heartbeat stands still: the owner touches its
    file every few seconds, and whoever waits sees by its own clock whether the file's time still changes. What the
    clocks of two machines say, or whether one is set, does not matter.

    Args:
        folder: Made when the first claim is.
        heartbeat_seconds: How often an owner touches its file.
        stale_seconds: How long a file must stand still until its owner counts as dead.
    """

    def __init__(
        self, folder: Path, *, heartbeat_seconds: float = HEARTBEAT_SECONDS, stale_seconds: float = STALE_SECONDS
    ) -> None:
        self.folder = folder
        self.heartbeat_seconds, self.stale_seconds = heartbeat_seconds, stale_seconds
        self._seen: dict[str, tuple[int, float]] = {}  # file -> its time, and since when (our clock) it has that time

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Claim a piece of work for the length of the block.

        Yields:
            Whether it is ours; if not, another process is at it, and may be asked after again later.

        Raises:
            OSError: If the folder cannot be written to.
        """
        path = self._acquire(name)
        if path is None:
            yield False
            return
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(path, stop), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            stop.set()
            beating.join()
            self._release(name, path)

    @contextmanager
    def wait(self, name: str, *, poll_seconds: float = 0.05) -> Iterator[None]:
        """Claim a short piece of work, waiting for whoever is at it."""
        while True:
            with self.hold(name) as ours:
                if ours:
                    yield
                    return
            time.sleep(poll_seconds)

    def _acquire(self, name: str) -> Path | None:
        before = self._numbers(name)
        if before and not self._is_dead(self._file(name, before[-1])):
            return None
        number = before[-1] + 1 if before else 1
        path = self._file(name, number)
        try:
            self._create(path)
        except FileExistsError:
            return None
        # The listing may have been old when the file was made: the claims below ours must still be the same dead ones.
        if self._numbers(name) != [*before, number]:
            path.unlink(missing_ok=True)
            return None
        return path

    def _create(self, path: Path) -> None:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("x", encoding="utf-8") as file:
                    json.dump({"machine": this_machine(), **process_identity(os.getpid())}, file)
                return
            except FileNotFoundError:  # the folder was empty a moment ago and another process tidied it away
                continue
            except FileExistsError:
                raise
            except OSError as error:  # a full disk: a claim without its owner's name would be in the others' way
                path.unlink(missing_ok=True)
                error.filename = error.filename or str(path)
                raise

    def _release(self, name: str, own: Path) -> None:
        """Remove our claim and the dead ones below it, ours last, so that there is no moment at which those count."""
        mine = int(own.name.rpartition(".")[2])
        for number in self._numbers(name):
            if number < mine:
                self._file(name, number).unlink(missing_ok=True)
        own.unlink(missing_ok=True)
        with suppress(OSError):  # others' claims are in it
            self.folder.rmdir()

    def _beat(self, path: Path, stop: threading.Event) -> None:
        while not stop.wait(self.heartbeat_seconds):
            with suppress(OSError):  # whoever believed us dead may have removed it
                os.utime(path)

    def _is_dead(self, path: Path) -> bool:
        try:
            changed = path.stat().st_mtime_ns
            owner = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # released just now; the next look will tell
            return False
        except ValueError:  # made just now, nothing written yet; if its owner died then, its time will stand still
            owner = {}
        if not isinstance(owner, dict):
            owner = {}
        if owner.get("machine") == this_machine() and process_identity(owner.get("pid")) != _identity_in(owner):
            return True
        before, since = self._seen.get(path.name, (None, 0.0))
        now = time.monotonic()
        if changed != before:
            self._seen[path.name] = (changed, now)
            return False
        return now - since > self.stale_seconds

    def _numbers(self, name: str) -> list[int]:
        """The numbers of the claims on a name, ascending."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        ends = (found.removeprefix(f"{name}.") for found in names if found.startswith(f"{name}."))
        return sorted(int(end) for end in ends if end.isascii() and end.isdigit())

    def _file(self, name: str, number: int) -> Path:
        return self.folder / f"{name}.{number}"


@cache
def this_machine() -> str:
    """Names the machine and its present boot, and the container: process numbers mean the same where this is equal."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def process_identity(pid: Any) -> dict[str, Any]:
    """What a running process is known by: its number and, where the system says it, when it was started.

    Returns:
        Empty when no such process runs; one that has ended and was not yet waited for does not.
    """
    if not isinstance(pid, int) or pid <= 0:
        return {}
    try:
        # The name in brackets may hold anything; behind it come the state and, as 20th, the time of the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return {} if fields[0] in "ZX" else {"pid": pid, "started": fields[19]}
    except OSError:
        if Path("/proc/self/stat").exists():
            return {}
    return {"pid": pid} if _runs(pid) else {}


def _runs(pid: int) -> bool:
    if os.name == "nt":  # there signal 0 is no question but Ctrl-C; heartbeats will tell
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _identity_in(owner: dict[str, Any]) -> dict[str, Any]:
    return {key: owner[key] for key in ("pid", "started") if key in owner}
