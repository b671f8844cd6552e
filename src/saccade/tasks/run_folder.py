"""A run's folder while a process works in it: held against others, and rid of what a killed one left behind."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from saccade.errors import InputError
from saccade.tasks.claims import Claims

CLAIMS = ".claims"  # only on disks without locks
BEFORE_CONFIG = ("splits.json", "environment.json", CLAIMS)  # there before config.yaml, which says that a run has begun
WAIT_SECONDS = 10.0  # the helpers of a killed process notice within five seconds that it is gone


def holds_something(run: Path) -> bool:
    """Whether a folder holds more than what a start that was killed leaves behind."""
    if not run.is_dir():
        return False
    names = [path.name for path in run.iterdir()]
    return any(name not in BEFORE_CONFIG and not _is_partial(name) for name in names)


@contextmanager
def working_in(run: Path, *, fresh: bool) -> Iterator[None]:
    """Work in a run's folder as the only process; after an error it stays only if an epoch was finished.

    Args:
        run: The folder; made if it is not there.
        fresh: Whether it must not hold a run yet.

    Raises:
        InputError: If another process works in it, or it is not as empty as it must be.
    """
    was_there = run.is_dir()
    with _locked(run):
        if fresh and holds_something(run):  # perhaps since the last look
            raise must_be_empty(run)
        for path in run.rglob(".*.partial.*"):
            path.unlink(missing_ok=True)
        try:
            yield
        except BaseException:
            if not (run / "last.ckpt").is_file():
                shutil.rmtree(run, ignore_errors=True)
                if was_there:
                    run.mkdir(exist_ok=True)
            raise


def must_be_empty(run: Path) -> InputError:
    """The error for a folder that is not free."""
    return InputError(f"{run}: must be new or empty, holds something. Choose another folder, or --resume.")


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Make the folder and hold it as the only process: by a lock on the folder itself, else by a claim file in it.

    The lock leaves no file and ends with the process, however that ends. Some network file systems have none on
    folders; a claim tells of its owner by a heartbeat, so that it takes a minute until a machine that broke down is
    seen to be gone.
    """
    claims = Claims(run / CLAIMS)
    begin, patience = time.monotonic(), WAIT_SECONDS
    with ExitStack() as held:
        while True:
            with ExitStack() as tried:
                ours = _lock(run, tried)
                if ours is None:
                    patience = WAIT_SECONDS + claims.stale_seconds
                    ours = tried.enter_context(claims.hold("training"))
                if ours:
                    held.push(tried.pop_all())
                    break
            if time.monotonic() - begin > patience:
                raise InputError(
                    f"{run}: another process is training in this folder. Wait for it, or choose another folder."
                )
            time.sleep(0.2)
        yield


def _lock(run: Path, held: ExitStack) -> bool | None:
    """Try to lock the folder until ``held`` is closed; None where the disk has no locks on folders."""
    run.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(run, os.O_RDONLY)
    except FileNotFoundError:
        return False
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    try:  # whoever held it may have failed and removed it: then the lock is on a folder that nobody sees
        return os.path.samestat(os.fstat(descriptor), os.stat(run))
    except FileNotFoundError:
        return False


def _is_partial(name: str) -> bool:
    return name.startswith(".") and ".partial." in name
