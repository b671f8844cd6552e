"""One function over many cases in parallel processes: nothing is lost, nothing stays behind.

Processes are spawned, never forked (a fork inherits locks that other threads hold), and import only what the function
needs. Each works on one case at a time over a pipe of its own, so that the one that fails or dies can be named.
"""

import re
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from os import cpu_count
from typing import Any, cast

from saccade.errors import InputError, RunError, SaccadeError

# Starting processes takes about so long: folders that are nearly done by then are finished without them.
STARTING_S = 2.0

Function = Callable[[Any], Any]
Results = Generator[tuple[str, Any], None, None]


def cores() -> int:
    """The cores that this process may use."""
    try:
        from os import sched_getaffinity  # not on every system

        return len(sched_getaffinity(0))
    except ImportError:
        return cpu_count() or 1


def run_jobs(function: Function, jobs: Mapping[str, Any], *, workers: int) -> Results:
    """Apply a function to the job of every case.

    The first cases are done in this process; others are started after two seconds, if what is left would then take this
    one at least four more. An abandoned or interrupted iteration ends all of them.

    Args:
        function: Importable by name, as everything in the jobs and results must be picklable.
        jobs: Case -> argument.
        workers: Most processes at a time; 1 works in this process alone.

    Yields:
        (case, result), in the order in which they are ready.

    Raises:
        InputError: If ``workers`` is below 1, or from the function; the message names the case.
        RunError: If anything else went wrong in the function, or a process died; the message names the case.
    """
    if workers < 1:
        raise InputError(f"workers: must be 1 or more, got {workers}.")
    waiting = deque(jobs)
    began = time.monotonic()
    while waiting and (workers == 1 or len(waiting) == 1 or not _worth_starting(began, len(jobs), len(waiting))):
        case = waiting.popleft()
        yield case, _named(function, case, jobs[case])
    if waiting:
        yield from _in_processes(function, {case: jobs[case] for case in waiting}, workers)


def _worth_starting(began: float, jobs: int, waiting: int) -> bool:
    spent = time.monotonic() - began
    left = waiting * spent / max(1, jobs - waiting)
    return spent >= STARTING_S and left >= 2 * STARTING_S


def _in_processes(function: Function, jobs: Mapping[str, Any], workers: int) -> Results:
    waiting = deque(jobs.items())
    crew: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, str] = {}
    try:
        for _ in range(min(workers, len(jobs))):
            pipe, process = _start(function)
            crew[pipe] = process
            _give(pipe, waiting.popleft(), busy)
        while busy:
            for ready in connection.wait(list(busy)):
                pipe = cast(Connection, ready)
                case = busy.pop(pipe)
                try:
                    error, result = pipe.recv()
                except (EOFError, OSError):
                    crew[pipe].join(1)
                    raise _died(case, crew[pipe].exitcode) from None
                if error is not None:
                    raise error
                if waiting:
                    _give(pipe, waiting.popleft(), busy)
                yield case, result
    finally:
        for pipe, process in crew.items():
            pipe.close()
            process.terminate()
        for process in crew.values():
            process.join()


def _start(function: Function) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    with _interrupts_stay_here():
        process.start()
    theirs.close()  # so that its end closes with the process, which is how its death is seen
    return ours, process


def _give(pipe: Connection, item: tuple[str, Any], busy: dict[Connection, str]) -> None:
    busy[pipe] = item[0]
    try:
        pipe.send(item)
    except OSError:
        return  # it has died; the pipe says so when it is read


def _serve(pipe: Connection, function: Function) -> None:
    """Life of a worker: it ends when the pipe does, so also when the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends the others
    try:
        while True:
            case, job = pipe.recv()
            answer: tuple[SaccadeError | None, Any]
            try:
                answer = None, _named(function, case, job)
            except SaccadeError as error:
                answer = error, None
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _named(function: Function, case: str, job: Any) -> Any:
    """The function's result; its errors name the case, the unforeseen ones too."""
    try:
        return function(job)
    except SaccadeError as error:
        if re.search(rf"(?<!\w){re.escape(case)}(?!\w)", str(error)):
            raise
        raise type(error)(f"case {case}: {error}") from error
    except OSError as error:  # full, read-only or lost: of the disk, not of the case
        where = f": {error.filename}" if error.filename else ""
        raise RunError(f"the machine refused: {error.strerror or error}{where}") from error
    except MemoryError as error:
        raise RunError(f"case {case}: the machine has not enough memory; use fewer --workers.") from error
    except Exception as error:
        failure = RunError(f"case {case}: unexpected {type(error).__name__}: {error}")
        failure.add_note(traceback.format_exc())  # a cause does not survive the way between processes
        raise failure from error


def _died(case: str, exitcode: int | None) -> RunError:
    killed = exitcode is not None and exitcode < 0
    how = f"was killed by signal {-exitcode}" if killed and exitcode else f"ended with code {exitcode}"
    return RunError(
        f"case {case}: its process {how}. If memory ran out, use fewer --workers; "
        'a script must call this from under: if __name__ == "__main__":'
    )


@contextmanager
def _interrupts_stay_here() -> Iterator[None]:
    """A process started in this block never sees Ctrl-C, not even before its first line: it would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where `_serve` alone has to do
        yield
        return
    resource_tracker.ensure_running()  # starting it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
