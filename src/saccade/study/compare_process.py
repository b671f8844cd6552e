"""One piece of a study in a process of its own, so that the peak memory it reports is its own and nobody else's."""

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

from saccade.errors import RunError, SaccadeError

CHILD = "from saccade.study.compare_process import serve; serve()"


def alone(function: Callable[..., None], job: Any, say: Callable[[str], None]) -> None:
    """Call ``function(job, say)`` in a new process and wait for it.

    Ctrl-C ends the process, and so does the death of this one. What it prints goes to stderr.

    Args:
        function: Importable by name.
        job: Can be pickled.
        say: Gets what the function says.

    Raises:
        SaccadeError, OSError, MemoryError: As the function raises them.
        RunError: For any other error, or if the process was lost.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # Ctrl-C is for this process, which then ends the other
    )
    into, out = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    try:
        with suppress(BrokenPipeError):  # it has died; its exit code tells
            pickle.dump((function, job), into)
            into.flush()
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                kind, said = pickle.load(out)
                if kind == "error":
                    raise said
                say(said)
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        out.close()
        with suppress(BrokenPipeError):
            into.close()
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise RunError(f"compare: a process {how}; perhaps memory ran out. Finished runs are kept: start it again.")


def serve() -> None:
    """What a process does that `alone` has started."""
    # Only what this program's two processes say to each other through their own pipe is unpickled, never a file.
    function, job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(kind: str, content: Any) -> None:
        pickle.dump((kind, content), channel)
        channel.flush()

    try:
        function(job, lambda text: send("say", text))
    except Exception as error:
        known = isinstance(error, SaccadeError | OSError | MemoryError)
        told = error if known else RunError(f"compare: unexpected {type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())  # a traceback does not survive the way between processes, for --debug
        send("error", told)


def _end_with_parent() -> None:
    """The pipe from the parent closes with it, however it ends; a run can be resumed whenever it is stopped."""
    os.read(0, 1)
    os._exit(1)
