"""What `tests/study/test_compare_process.py` lets a process of its own do; importable there by name."""

import os
import signal
import sys

from saccade.errors import InputError


def speak(job, say) -> None:
    print("stray output")
    sys.stdout.flush()
    say(f"{job} in {os.getpid()}")
    say("x" * 200_000)  # more than a pipe holds


def refuse(job, say) -> None:
    raise InputError(f"{job}: must be whole.")


def no_space(job, say) -> None:
    raise OSError(28, "No space left on device", job)


def stumble(job, say) -> None:
    raise KeyError(job)


def die(job, say) -> None:
    say("last words")
    os.kill(os.getpid(), signal.SIGKILL)
